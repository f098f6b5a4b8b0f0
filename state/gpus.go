package state

// GPUsPerWorker is the number of whole GPUs of one worker of a role. Where
// resources.gpus is not set it is the product of its parallel sizes; sglang with
// enable_dp_attention shares the GPUs of tensor parallelism. The mocker
// counts like the engine that it stands for, though it uses none: resources.gpus
// 0 runs it where there are none. The error is an [*Invalid].
func (m ModelSpec) GPUsPerWorker(role string) (int, error) {
	sizes, invalid := m.sizes(role)
	if invalid != nil {
		return 0, invalid
	}
	if gpus := m.RoleResources(role).GPUs; gpus != nil {
		return *gpus, nil
	}
	return m.product(role, sizes), nil
}

// product is how many GPUs a worker of a role takes by its parallel sizes, maxResources at
// the most: no node has as many, and no product of four sizes has to fit an int.
func (m ModelSpec) product(role string, s parallelSizes) int {
	if m.SharesGPUs(role) {
		s.data = 1
	}
	n := 1
	for _, size := range []int{s.tensor, s.pipeline, s.prefillContext, s.data} {
		n = min(n*size, maxResources)
	}
	return n
}

// SharesGPUs reports whether the data parallel ranks of a role's workers run on the
// GPUs of tensor parallelism: sglang with enable_dp_attention.
func (m ModelSpec) SharesGPUs(role string) bool {
	if m.Engine != EngineSGLang {
		return false
	}
	shares := false
	for _, x := range m.commandArgs(role) {
		if flagName(x.Key) == "enable-dp-attention" {
			shares = string(x.Value) == "true"
		}
	}
	return shares
}
