# SPDX-FileCopyrightText: kubestatic.node contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Each target is one call of the real tool, in a Python environment that env.py makes (see its --help).
IN = python3 tests/tools/env.py
# Parts of the test ladder: unit static sanity crash nodes control_plane judge
RUNGS =

.PHONY: demo test check bench docs nodes clean

demo:
	$(IN) ansible-2.19 python tests/demo/demo.py
test:
	$(IN) nox python tests/tools/ladder.py $(RUNGS)
check:
	$(IN) nox python tests/tools/ladder.py unit static
bench:
	$(IN) ansible-2.19 python tests/bench/bench.py
docs:
	$(IN) nox nox --session docs
nodes:
	$(IN) ansible-2.19 python tests/nodes/nodes.py up
clean:
	python3 tests/nodes/nodes.py clean
