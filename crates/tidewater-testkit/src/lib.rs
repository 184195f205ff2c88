//! Conformance suites for Tidewater sources, sinks and web adapters
