# SPDX-FileCopyrightText: kubestatic.node contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to this collection: may change without notice.
"""Options, notes and return values that static_pod and static_pods share."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments named ``kubestatic.node._static_pod`` and ``kubestatic.node._static_pod.SHARED``."""

    DOCUMENTATION = r"""
options: {}
requirements:
  - A kubelet that runs as the systemd unit C(kubelet.service), Kubernetes 1.28 or newer.
  - C(crictl) on the node, unless O(wait=false). It is found in E(PATH) and in the usual places.
  - PyYAML for any Python on the node.
notes:
  - Needs root on the node, so use C(become) where the connection is not root's.
  - Nothing is touched before everything that can be known beforehand is in order. That is the manifest itself, judged for
    the version of this node's kubelet, other files with the same pod, the images, and the space on the disk.
  - The kubelet never sees half a file. A new manifest is written to a dot-file in the same directory, with its final mode, owner
    and SELinux context, and renamed once it is on the disk. No backup is ever left in the directory, as the kubelet would run it.
  - A run that is killed leaves the old or the new manifest in force, or the next run on the node puts one in force. Without another run,
    a systemd service that is installed with the first change does so at boot, or some minutes after the run began.
  - Where a node fails, the nodes that come later in the same task fail untouched. Use C(throttle=1) to have one node at a time.
    What C(failed_when) and C(until) make of a result comes too late for that.
  - While the kubelet has never reached its API server or its C(staticPodURL) since it started, it deletes no pods. Where a pod
    is to go and its grace period is over, the kubelet is then stopped for a moment, the old containers are stopped through the
    runtime with their own grace period, and the kubelet is started again; the result says so.
  - Ansible logs module arguments on the node, and C(--diff) shows manifests. Where a manifest itself is secret, also one that comes
    from a vaulted file, use C(no_log) on the task.
  - A manifest that is a symbolic link becomes a file when its text changes.
"""

    SHARED = r"""
options:
  mode:
    description:
      - Permissions of the manifest, as for M(ansible.builtin.file).
    type: raw
    default: "0600"
  owner:
    description:
      - Owner of the manifest.
    type: str
    default: root
  group:
    description:
      - Group of the manifest.
    type: str
    default: root
  strategy:
    description:
      - How a pod that runs is changed.
      - V(swap) takes the old manifest away, waits until the runtime has no trace of the old pod, and places the new one. The
        pod is down for about a second after it has stopped.
      - V(replace) renames the new manifest over the old one. The kubelet then starts the new pod 10 to 15 seconds after the old
        one has stopped, as it looks again only after a back-off.
      - Where nothing can be seen, because C(crictl) is missing, V(replace) is always used.
    type: str
    choices:
      - swap
      - replace
    default: swap
  wait:
    description:
      - Whether to wait for the proof that the pod runs. That is a new sandbox in the container runtime, no older one, all
        containers running, and the pod's own startup and readiness probes passing when they are run from the node.
      - With V(false), O(strategy=swap) still waits for the old pod to go, where the node has C(crictl).
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait for the proof. A crash loop or a refusal by the kubelet ends the wait early, with the reason.
      - How long an old pod may take to stop does not depend on it. That is the grace period it was started with and 10 seconds.
    type: int
    default: 300
  settle:
    description:
      - Seconds of undisturbed running that count as proven.
      - By default 0 where every container has a readiness probe, else 5.
    type: int
  validation:
    description:
      - V(strict) refuses what this node's kubelet refuses, and what it silently drops. These are fields that it does not
        know, duplicate keys, and further YAML documents. Unknown fields are only warned of where the kubelet is newer than
        the field tables of this collection.
      - V(kubelet) refuses only what the kubelet refuses.
      - V(none) takes every manifest that holds one Pod with a name.
    type: str
    choices:
      - strict
      - kubelet
      - none
    default: strict
  rollback:
    description:
      - Whether the last revision that was proven is put back where a changed pod is not proven in time. It is proven in its
        turn, for which it has O(wait_timeout) again, and the task fails, telling why the new manifest did not do and what is in
        force now.
      - With V(false) the new manifest stays, for inspection.
      - A manifest stays in any case where no revision was proven before it, where O(wait=false), where kubelet or container
        runtime went away meanwhile, where somebody else has brought or edited it, where the pod was only restarted, and where
        an etcd of a newer minor may have migrated its data.
      - A run that was cut off before the proof is made up for by the next one, or by the recovery service, which proves the pod or puts
        the last proven revision back.
    type: bool
    default: true
  keep_revisions:
    description:
      - How many manifests of a pod the node keeps. The one in force and the last one that was proven are kept in any case.
        They are in C(/var/lib/kubestatic), which is root's alone.
      - M(kubestatic.node.static_pod_info) lists them.
    type: int
    default: 5
  restart_on:
    description:
      - Files on the node whose change restarts the pod with C(state=present), although its manifest stays the same. The kubelet
        looks at manifests alone, so a pod runs on with a certificate or a configuration that was renewed beneath it.
      - V(auto) takes the regular files that the manifest names, and that the pod does not write. These are C(hostPath)
        volumes that are a file and are mounted with C(readOnly), values of flags in C(command) and C(args) that lie in a
        C(hostPath) mount, such as C(--etcd-cafile) and C(--config), and the files that are named in a kubeconfig among these.
        Values with commas, such as those of C(--tls-sni-cert-key), are taken apart.
      - V(auto) never takes whole directories, the values of flags whose name tells that they are written, such as
        C(--log-file) and C(--audit-log-path), what another container of the pod may write, and what lies in
        C(/var/log), C(/proc) or C(/sys). It sees no paths in environment variables, shell scripts and other configuration files.
      - A list takes exactly its files, by their absolute paths on the node. All of them must be there.
      - An empty list, the default, takes none.
      - A file is compared with what it was when the pod was last started by this collection, or, where that is not known, when
        it was seen for the first time. A link counts as the file behind it, and of files of more than 10 MiB size and
        time of the last change count. Only digests are kept, in C(/var/lib/kubestatic).
      - The restart is like that of C(state=restarted), and RV(actions) name the files. Where it is not proven, the next run
        restarts the pod again.
      - A pod is not restarted while a file that it was started with is gone, as it may not start again. V(auto) warns of that.
      - Needs C(crictl) on the node and the kubelet's own directory. Without them V(auto) takes no files, and a list is refused.
      - V(auto) is the default in the role P(kubestatic.node.static_pods#role).
    type: raw
    default: []
"""

    POD = r"""
options:
  name:
    description:
      - Name of the pod as C(metadata.name) has it, without the node's name.
      - Needed for O(state=absent) and O(state=restarted). For O(state=present) it is taken from the manifest, and checked
        against it where given.
    type: str
  namespace:
    description:
      - Namespace of the pod. Taken from the manifest, or V(default).
    type: str
  state:
    description:
      - V(present) has the manifest in place and the pod proven to run. Where the pod is the same to the kubelet, nothing
        restarts, unless O(restart_on) says so.
      - V(absent) removes the manifest and waits until the pod is gone.
      - V(restarted) restarts a pod that is there, with the manifest as it is.
    type: str
    choices:
      - present
      - absent
      - restarted
    default: present
  content:
    description:
      - The manifest as text, YAML or JSON.
      - Exactly one of O(content), O(definition), O(src) and O(template) is needed for O(state=present).
    type: str
  definition:
    description:
      - The manifest as a mapping. It is written as JSON where O(filename) ends with C(.json), else as YAML.
    type: dict
  src:
    description:
      - A file on the controller with the manifest, found like the C(src) of M(ansible.builtin.copy). It may be
        vaulted.
    type: path
  template:
    description:
      - A Jinja2 template on the controller, found like the C(src) of M(ansible.builtin.template), and rendered with
        the variables of each host. It may be vaulted.
      - A template that is one expression may yield a mapping.
    type: path
  filename:
    description:
      - Name of the manifest in the directory.
      - By default the file that holds this pod already, whoever placed it, else the pod's name with C(.yaml).
    type: str
"""
