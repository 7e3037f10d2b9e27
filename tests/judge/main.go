// SPDX-FileCopyrightText: kubestatic.node contributors
// SPDX-License-Identifier: GPL-3.0-or-later

// Command judge reads manifests as the kubelet does and says what became of them.
//
// Standard input: one JSON object {"text": "..."} a line. Standard output: one verdict a line, in the same order.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/util/hash"
)

const longestLine = 64 << 20

type verdict struct {
	// What the YAML is as JSON; empty where that failed.
	JSON string `json:"json"`
	// The pod after decoding and defaulting, as v1 JSON.
	Defaulted json.RawMessage `json:"defaulted,omitempty"`
	// The hash that the kubelet's UID begins with.
	Hash string `json:"hash,omitempty"`
	// Why it could not be read or decoded.
	Error string `json:"error,omitempty"`
	// What ValidatePodCreate finds, as applyDefaults of pkg/kubelet/config leaves the pod.
	Invalid []string `json:"invalid,omitempty"`
	// What a strict decoder says: unknown and duplicate fields. The kubelet does not ask.
	Strict string `json:"strict,omitempty"`
}

func main() {
	log.SetFlags(0)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, longestLine)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for in.Scan() {
		var question struct {
			Text string `json:"text"`
		}
		if err := json.Unmarshal(in.Bytes(), &question); err != nil {
			log.Fatal(err)
		}
		if err := encoder.Encode(judge([]byte(question.Text))); err != nil {
			log.Fatal(err)
		}
	}
	if err := errors.Join(in.Err(), out.Flush()); err != nil {
		log.Fatal(err)
	}
}

// judge goes the way of tryDecodeSinglePod and applyDefaults in pkg/kubelet/config/common.go.
func judge(text []byte) (result verdict) {
	data, err := utilyaml.ToJSON(text)
	if err != nil {
		result.Error = err.Error()
		return result
	}
	result.JSON = string(data)
	object, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(), data)
	if err != nil {
		result.Error = err.Error()
		return result
	}
	pod, ok := object.(*core.Pod)
	if !ok {
		result.Error = fmt.Sprintf("not a pod: %T", object)
		return result
	}
	hasher := fnv.New128a()
	hash.DeepHashObject(hasher, pod)
	result.Hash = hex.EncodeToString(hasher.Sum(nil))
	strict := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	if _, err := runtime.Decode(strict.UniversalDecoder(), data); err != nil {
		result.Strict = err.Error()
	}
	if result.Defaulted, err = defaulted(pod); err != nil {
		result.Error = err.Error()
		return result
	}
	result.Invalid = invalid(pod)
	return result
}

func defaulted(pod *core.Pod) (json.RawMessage, error) {
	var external v1.Pod
	if err := corev1.Convert_core_Pod_To_v1_Pod(pod, &external, nil); err != nil {
		return nil, err
	}
	return json.Marshal(&external)
}

func invalid(pod *core.Pod) (problems []string) {
	pod.UID = "00000000000000000000000000000000"
	pod.Spec.NodeName = "node"
	if pod.Namespace == "" {
		pod.Namespace = "default"
	}
	options := podutil.GetValidationOptionsFromPodSpecAndMeta(&pod.Spec, nil, &pod.ObjectMeta, nil)
	for _, problem := range validation.ValidatePodCreate(pod, options) {
		problems = append(problems, problem.Error())
	}
	return problems
}
