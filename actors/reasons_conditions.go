package actors

// Reasons of conditions, besides those of waits.
const (
	CondOK              = "OK"
	CondWarnings        = "Warnings"
	CondNotAccepted     = "NotAccepted"
	CondPending         = "Pending"
	CondStarting        = "WorkersStarting"
	CondNotRegistered   = "NotRegistered"
	CondEtcdUnreachable = "EtcdUnreachable"
	CondNotListed       = "NotListed"
	CondFrontendDown    = "FrontendUnreachable"
	CondScaledToZero    = "ScaledToZero"
	CondSuspended       = "Suspended"
	CondDeleting        = "Deleting"
	CondDeletionHeld    = "DeletionHeld"
	CondRolling         = "RollingOut"
	CondRestarting      = "RestartUnderWay"
	CondRendererChanged = "RendererChanged"
	CondOldRevision     = "OldRevision"
	CondRolledBack      = "RolledBack"
	CondInfraStarting   = "InfraStarting"
	CondSpecMissing     = "SpecMissing"
	CondStoreFull       = "StoreFull"
)
