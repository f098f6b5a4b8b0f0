"""What a person can do about an end whose cause is known."""

from __future__ import annotations

import re

MEMORY = "the node, or Ray's container, has too little memory: give it more, or run less on it"
KILLED = "dynctl did not do it; most often it is the kernel's OOM killer: see dmesg on the node"

_GPU_BUSY = "something else holds memory of this GPU (see nvidia-smi on the node): end it, or lower engineArgs.gpu_memory_utilization"
_GPU_FULL = "lower engineArgs.max_num_seqs or max_model_len, or give the worker more GPUs (tensor_parallel_size); see nvidia-smi for what else holds memory"
_CONTEXT = "lower engineArgs.max_model_len, or leave the KV cache more memory (gpu_memory_utilization)"
_TOKEN = "the hub refuses: give spec.env.HF_TOKEN a token (fromFile) whose account may read this model"
_NAME = "check spec.model: a name on the hub, or a path that exists on every node"
_OFFLINE = "the node does not reach the hub: download the model there beforehand, or check HF_HUB_OFFLINE, HF_ENDPOINT and proxies"
_FLAG = "check engineArgs and dynamoArgs: `dynctl render` prints the command line"
PORT = "something else on the node listens on that port: end it, or choose another"
_WEIGHTS = "files of the model are missing or damaged: download them again, on every node"
_DRIVER = "the NVIDIA driver of the node does not fit, or the GPU is not visible there: see nvidia-smi"
_HARDWARE = "see dmesg on the node for Xid errors; a GPU that does it again is to be taken out"

# In order: the first that fits counts.
_KNOWN = tuple((re.compile(pattern, re.I), hint) for pattern, hint in (
    (r"free memory on device .*less than desired", _GPU_BUSY),
    (r"available memory on node .*less than requested memory for kv", "lower VLLM_CPU_KVCACHE_SPACE, or run less on the node"),
    (r"no available memory for the cache blocks|not enough memory\. please try to increase --mem-fraction-static",
     "the weights leave the KV cache no memory: raise engineArgs.gpu_memory_utilization (SGLang: mem_fraction_static), or use more GPUs"),
    (r"max seq len|maximum number of tokens that can be stored|at least one request", _CONTEXT),
    (r"max_model_len .*greater than the derived|context.?length .*greater than", "engineArgs.max_model_len is more than the model was made for: lower it"),
    (r"cuda out of memory|outofmemoryerror|cuda error: out of memory|cuda runtime.*out of memory|cublas_status_alloc_failed", _GPU_FULL),
    (r"defaultcpuallocator|cannot allocate memory|^memoryerror|std::bad_alloc|out of memory: killed process", MEMORY),
    (r"unrecognized arguments|unexpected argument|no such option|ambiguous option|flag provided but not defined", _FLAG),
    (r"invalid choice|error: argument |invalid value .* for|the following arguments are required|input should be", _FLAG),
    (r"gated repo|\b401\b|\b403\b|unauthorized|restricted and you are not|invalid user token", _TOKEN),
    (r"repo id must be|not a valid model identifier|repository ?not ?found|model snapshots .* not found|is this a valid huggingface id", _NAME),
    (r"localentrynotfound|offlinemodeisenabled|couldn't connect to|max retries exceeded|name resolution|outgoing traffic has been disabled", _OFFLINE),
    (r"address already in use|eaddrinuse|port \d+ (?:is )?already in use|address in use", PORT),
    (r"no module named '?(?:vllm|sglang|tensorrt_llm|dynamo)", "the engine is not installed in Ray's Python on this node: install ai-dynamo with it there"),
    (r"trust_remote_code", "the model brings code of its own: set engineArgs.trust_remote_code to true if you trust it"),
    (r"no kernel image is available|compute capability", "this build of the engine does not support the GPU (a type: engineArgs.dtype half may help), or needs a newer version"),
    (r"architectures .*not supported|does not recognize this architecture|not supported for now", "this version of the engine does not know the model's architecture: use a newer one"),
    (r"divisible by", "tensor_parallel_size has to divide the model's attention heads"),
    (r"safetensorerror|error while deserializing header|invalidheader|incomplete metadata|unexpected eof|pytorchstreamreader", _WEIGHTS),
    (r"cannot find any model weights|no (?:model )?weights|weight file", _WEIGHTS),
    (r"failed to parse json|jsondecodeerror|not a valid json file|looks like the config file", "a configuration file of the model is damaged: download it again, on every node"),
    (r"no nvidia driver|driver version is insufficient|libcuda\.so|no cuda gpus are available|no cuda-capable device|torch not compiled with cuda", _DRIVER),
    (r"uncorrectable|ecc error|fallen off the bus|nvlink|illegal memory access|device-side assert|unspecified launch failure|cuda error", _HARDWARE),
    (r"nccl", "the ranks of the worker do not reach each other: see NCCL_DEBUG=INFO, NCCL_SOCKET_IFNAME and the log of the other ranks"),
    (r"no space left on device", "a disk or /dev/shm of the node is full"),
    (r"exit code: -9\b", "a process of the engine got SIGKILL, most often from the kernel's OOM killer: see dmesg on the node"),
    (r"enginedeaderror", "the engine's own process ended without a word, most often by the kernel's OOM killer: see dmesg on the node"),
    (r"bus error|sigbus", "most often /dev/shm is full: give Ray's container more (--shm-size)"),
    (r"too many open files", "raise the limit of open files (ulimit -n) of Ray on the node"),
    (r"permission ?(?:error|denied)", "the user that Ray runs as may not read or write that"),
    (r"error while loading shared libraries|cannot open shared object file", "a library is missing on the node, or another version of it is found first"),
    (r"filenotfounderror|no such file or directory", "the file is not on this node: put it on every node, or correct the path"),
))


def find(text: str) -> str:
    """What to do about what that text tells; empty where it is not known."""
    return next((hint for pattern, hint in _KNOWN if pattern.search(text)), "")
