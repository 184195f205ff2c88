//! The framework-neutral SSE endpoint of Tidewater: request head in, response head and body out
