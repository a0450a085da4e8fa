package faults
func (r *rig) audited() {}
const binary = "LTP_FAULTS_BINARY"
