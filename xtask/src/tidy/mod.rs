//! `cargo xtask tidy`: the workspace's policy as a program.
//!
//! What `docs/architecture.md` says about who may depend on whom, what a feature leaves out and what the demo never
//! compiles is proven here from cargo's own data, so that it stays true.

mod code;
mod packages;
mod sources;
mod table;
mod trees;

use std::process::ExitCode;

use anyhow::Result;

/// Runs all checks; each finding is a line.
pub(crate) fn run() -> Result<ExitCode> {
    type Check = fn() -> Result<Vec<String>>;
    let checks: [(&str, Check); 12] = [
        ("who may depend on whom", table::check),
        ("what each crate's tree never holds", trees::check_crates),
        ("what a feature leaves out", trees::check_features),
        ("the shipped gateway has no framework", trees::check_shipped),
        ("the demo compiles no C", trees::check_no_c),
        ("the client and the server compile C for their TLS alone", trees::check_tls),
        ("authorization brings nothing unless it is chosen", trees::check_authorization),
        ("traces bring no C and no other client", trees::check_traces),
        ("what is built without make, and without any C", trees::check_left_out),
        ("packages say what they are", packages::check),
        ("every crate inherits the workspace's lints", sources::check_lints),
        ("short files, and unsafe code in one module", sources::check_files),
    ];
    let mut count = 0;
    for (name, check) in checks {
        let findings = check()?;
        println!("{} {name}", if findings.is_empty() { "ok  " } else { "FAIL" });
        for finding in &findings {
            println!("       {finding}");
        }
        count += findings.len();
    }
    if count == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{count} finding{}", if count == 1 { "" } else { "s" });
    Ok(ExitCode::FAILURE)
}
