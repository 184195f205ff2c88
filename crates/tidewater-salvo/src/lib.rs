//! Tidewater channels as event streams in salvo
