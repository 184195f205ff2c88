//! Tidewater channels as event streams in warp
