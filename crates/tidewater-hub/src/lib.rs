//! The hub of Tidewater: one upstream subscription fanned out to any number of SSE clients, with exact resume
