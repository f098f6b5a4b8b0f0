package dgd

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynctl/state"
)

// Kinds of components; the others are known by the name that the document gives.
const (
	kindFrontend = "frontend"
	kindWorker   = "worker"
)

// graph is a DynamoGraphDeployment, either version. Raw messages are read elsewhere.
type graph struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Services         state.Args        `json:"services"`
		Components       []json.RawMessage `json:"components"`
		BackendFramework string            `json:"backendFramework"`
		Envs             []envVar          `json:"envs"`
		Env              []envVar          `json:"env"`
	} `json:"spec"`
	// Status is what the operator found, and no wish.
	Status json.RawMessage `json:"status"`
}

func (g *graph) environment() []envVar { return slices.Concat(g.Spec.Envs, g.Spec.Env) }

type envVar struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	ValueFrom *struct {
		SecretKeyRef    *keyRef `json:"secretKeyRef"`
		ConfigMapKeyRef *keyRef `json:"configMapKeyRef"`
		// What only a pod can tell.
		FieldRef         json.RawMessage `json:"fieldRef"`
		ResourceFieldRef json.RawMessage `json:"resourceFieldRef"`
		FileKeyRef       json.RawMessage `json:"fileKeyRef"`
	} `json:"valueFrom"`

	// untold: the value refers to a variable that only a pod knows.
	untold bool
	// verbatim: the value came from a ConfigMap, where Kubernetes expands nothing.
	verbatim bool
}

type keyRef struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// component is one component, whichever version it was written in.
type component struct {
	name, path string
	kind, role string
	replicas   *int
	nodes      int // that one worker spans
	gpus, cpus int // of one node's part of a worker; 0 where nothing is said
	command    []string
	env        []envVar
	// secrets and configs are the objects whose keys all become environment variables.
	secrets, configs []envSource
	// files are the ConfigMaps that are mounted.
	files          []mount
	grace, startup state.Duration
	left           []string
}

// envSource is an object whose keys become variables, with what stands before each name.
type envSource struct{ name, prefix string }

// service is the v1alpha1 form; the v1beta1 form shares what is named alike.
type service struct {
	Name             string `json:"name"`
	Type             string `json:"type"`
	ComponentType    string `json:"componentType"`
	SubComponentType string `json:"subComponentType"`
	Replicas         *int   `json:"replicas"`
	Multinode        struct {
		NodeCount int `json:"nodeCount"`
	} `json:"multinode"`
	Resources     resources `json:"resources"`
	Envs          []envVar  `json:"envs"`
	EnvFromSecret string    `json:"envFromSecret"`
	ExtraPodSpec  podSpec   `json:"extraPodSpec"`
	PodTemplate   struct {
		Spec podSpec `json:"spec"`
	} `json:"podTemplate"`
}

type podSpec struct {
	MainContainer *container  `json:"mainContainer"`
	Containers    []container `json:"containers"`
	Grace         *float64    `json:"terminationGracePeriodSeconds"`
}

type container struct {
	Name    string   `json:"name"`
	Command []string `json:"command"`
	Args    []string `json:"args"`
	Env     []envVar `json:"env"`
	EnvFrom []struct {
		Prefix       string  `json:"prefix"`
		SecretRef    *keyRef `json:"secretRef"`
		ConfigMapRef *keyRef `json:"configMapRef"`
	} `json:"envFrom"`
	Resources    resources     `json:"resources"`
	StartupProbe *startupProbe `json:"startupProbe"`
}

// startupProbe says how long a container may take until it is up.
type startupProbe struct {
	InitialDelaySeconds float64  `json:"initialDelaySeconds"`
	PeriodSeconds       *float64 `json:"periodSeconds"`
	FailureThreshold    *float64 `json:"failureThreshold"`
}

// limit is Kubernetes' own reading: every 10 seconds, and 3 times, where nothing is
// said.
func (p startupProbe) limit() state.Duration {
	period, times := 10.0, 3.0
	if p.PeriodSeconds != nil {
		period = *p.PeriodSeconds
	}
	if p.FailureThreshold != nil {
		times = *p.FailureThreshold
	}
	return seconds(p.InitialDelaySeconds + period*times)
}

type resources struct {
	Requests map[string]any `json:"requests"`
	Limits   map[string]any `json:"limits"`
}

// read lists the components in the order of the document.
func (g *graph) read() ([]component, error) {
	var out []component
	for _, s := range g.Spec.Services {
		c, err := readComponent(s.Value, s.Key, "spec.services."+s.Key)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	for i, raw := range g.Spec.Components {
		c, err := readComponent(raw, "", fmt.Sprintf("spec.components.%d", i))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errorAt("spec", "this %s has neither spec.services nor spec.components", Kind)
	}
	return out, nil
}

func readComponent(raw json.RawMessage, name, path string) (component, error) {
	var s service
	if err := json.Unmarshal(raw, &s); err != nil {
		return component{}, decodeError(path, err)
	}
	c := component{name: name, path: path, replicas: s.Replicas, nodes: max(1, s.Multinode.NodeCount), env: s.Envs}
	for _, path := range unread(raw, reflect.TypeFor[service](), "") {
		if path = short(path); !slices.Contains(c.left, path) {
			c.left = append(c.left, path)
		}
	}
	if c.name == "" {
		c.name = s.Name
	}
	c.kind, c.role = kindOf(s)
	c.files = mounts(raw)
	if s.EnvFromSecret != "" {
		c.secrets = append(c.secrets, envSource{name: s.EnvFromSecret})
	}
	c.resources(s.Resources)
	for _, pod := range []podSpec{s.ExtraPodSpec, s.PodTemplate.Spec} {
		c.pod(pod)
	}
	return c, nil
}

// kindOf reads the type of a component: v1beta1 knows prefill and decode as types
// of their own, and the first releases called the frontend main.
func kindOf(s service) (kind, role string) {
	kind, role = strings.ToLower(s.ComponentType), strings.ToLower(s.SubComponentType)
	if s.Type != "" {
		kind = strings.ToLower(s.Type)
	}
	switch kind {
	case "main":
		kind = kindFrontend
	case state.RolePrefill, state.RoleDecode:
		kind, role = kindWorker, kind
	case "":
		kind = "none"
	}
	return kind, role
}

func (c *component) pod(pod podSpec) {
	if pod.Grace != nil {
		c.grace = seconds(*pod.Grace)
	}
	main := pod.MainContainer
	for i := range pod.Containers {
		if main == nil && (len(pod.Containers) == 1 || pod.Containers[i].Name == "main") {
			main = &pod.Containers[i]
		} else {
			c.sidecar(pod.Containers[i].Name)
		}
	}
	if main == nil {
		return
	}
	c.command = slices.Concat(main.Command, main.Args)
	c.env = append(c.env, main.Env...)
	for _, from := range main.EnvFrom {
		if from.SecretRef != nil {
			c.secrets = append(c.secrets, envSource{from.SecretRef.Name, from.Prefix})
		}
		if from.ConfigMapRef != nil {
			c.configs = append(c.configs, envSource{from.ConfigMapRef.Name, from.Prefix})
		}
	}
	c.resources(main.Resources)
	if main.StartupProbe != nil {
		c.startup = main.StartupProbe.limit()
	}
}

// sidecar leaves out a container with all that it says.
func (c *component) sidecar(name string) {
	within := "containers." + name + "."
	c.left = slices.DeleteFunc(c.left, func(path string) bool {
		return strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(path, "podTemplate.spec."), "extraPodSpec."), within)
	})
	c.left = append(c.left, "container "+name)
}

// resources takes the GPUs and CPUs; a limit counts before a request, as it does
// for devices in Kubernetes.
func (c *component) resources(r resources) {
	for _, list := range []map[string]any{r.Requests, r.Limits} {
		for _, name := range sortedKeys(list) {
			switch value := list[name]; {
			case name == "gpu" || strings.HasSuffix(name, "/gpu"):
				c.gpus = quantity(value)
			case name == "cpu":
				c.cpus = quantity(value)
			default:
				if left := "resources." + name; !slices.Contains(c.left, left) {
					c.left = append(c.left, left)
				}
			}
		}
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// quantity is a count of devices or cores, rounded up; 0 where it is none.
func quantity(v any) int {
	text, unit := fmt.Sprint(v), 1.0
	if milli, ok := strings.CutSuffix(text, "m"); ok {
		text, unit = milli, 1000
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 1e6 {
		return 0
	}
	return int(math.Ceil(n / unit))
}

// seconds is bounded to a year, far beyond what a spec may say.
func seconds(s float64) state.Duration {
	return state.Duration(min(max(s, 0), 365*24*3600) * float64(time.Second))
}
