package state

import "strings"

// Router modes of Dynamo's frontend, as they are written on its command line.
const (
	RouterRoundRobin          = "round-robin"
	RouterRandom              = "random"
	RouterPowerOfTwo          = "power-of-two"
	RouterKV                  = "kv"
	RouterDirect              = "direct"
	RouterLeastLoaded         = "least-loaded"
	RouterDeviceAwareWeighted = "device-aware-weighted"

	// RouterAuto (Server only) is kv where a model is disaggregated, else Dynamo's own.
	RouterAuto = "auto"
	// RouterInherit (Model only) is what the server says.
	RouterInherit = "inherit"
)

// RouterModes lists the router modes of Dynamo.
func RouterModes() []string {
	return []string{
		RouterRoundRobin, RouterRandom, RouterPowerOfTwo, RouterKV, RouterDirect,
		RouterLeastLoaded, RouterDeviceAwareWeighted,
	}
}

// NormalizeRouterMode returns mode in the spelling that Dynamo takes:
// "round_robin" becomes "round-robin".
func NormalizeRouterMode(mode string) string { return strings.ReplaceAll(mode, "_", "-") }
