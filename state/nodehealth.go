package state

import "time"

// NodeHealth is how Ray's GCS asks each node whether it lives, RAY_health_check_* in its
// environment.
type NodeHealth struct {
	InitialDelayMS   int64 `json:"initialDelayMs"`
	PeriodMS         int64 `json:"periodMs"`
	TimeoutMS        int64 `json:"timeoutMs"`
	FailureThreshold int64 `json:"failureThreshold"`
}

// Known reports whether somebody may have meant these settings.
func (h NodeHealth) Known() bool {
	const longest, most = 10_000_000, 1000
	return min(h.InitialDelayMS, h.PeriodMS, h.TimeoutMS, h.FailureThreshold) >= 0 &&
		max(h.InitialDelayMS, h.PeriodMS, h.TimeoutMS) <= longest && h.FailureThreshold <= most
}

// Killed is how long at the most Ray takes for a node whose raylet was killed: each question
// is refused at once.
func (h NodeHealth) Killed() time.Duration {
	return time.Duration(h.FailureThreshold*h.PeriodMS) * time.Millisecond
}

// Silent is the same of a node that does not answer: a hung host, a cable that was pulled.
func (h NodeHealth) Silent() time.Duration {
	return time.Duration(h.FailureThreshold*(h.PeriodMS+h.TimeoutMS)) * time.Millisecond
}
