//! vm-agent
