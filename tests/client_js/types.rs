//! The package as TypeScript sees it.

use std::{os::unix::fs::symlink, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use tidewater_tests::npm;
use tokio::process::Command;

#[tokio::test]
#[ignore = "needs npm: run cargo xtask test"]
async fn the_types_are_right_and_refuse_what_is_wrong() -> Result<()> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = tempfile::tempdir()?;
    let packages = project.path().join("node_modules");
    std::fs::create_dir(&packages)?;
    symlink(tests.join("../clients/js"), packages.join("tidewater-sse"))?;
    std::fs::copy(tests.join("client_js/types.ts"), project.path().join("types.ts"))?;
    std::fs::write(project.path().join("package.json"), r#"{ "type": "module" }"#)?;
    for (module, resolution) in [("nodenext", "nodenext"), ("esnext", "bundler")] {
        let compiler = Command::new("node")
            .arg(npm::package("typescript")?.join("bin/tsc"))
            .args(["--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom"])
            .args(["--module", module, "--moduleResolution", resolution, "types.ts"])
            .current_dir(project.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let done = compiler.await.context("cannot start node")?;
        ensure!(done.status.success(), "{module}: {}", String::from_utf8_lossy(&done.stdout));
    }
    Ok(())
}
