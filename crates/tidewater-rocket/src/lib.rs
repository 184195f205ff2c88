//! Tidewater channels as event streams in rocket
