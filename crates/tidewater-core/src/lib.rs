//! The contracts of Tidewater (sources, sinks, cursors, plugins) and its SSE wire codec
