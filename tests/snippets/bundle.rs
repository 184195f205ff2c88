//! What an application's build makes of modules with packages from npm in them.

use std::path::Path;

use anyhow::{Result, ensure};
use tidewater_tests::npm;
use tokio::process::Command;

/// The helper's package, as an application has it after `npm install`.
const HELPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/js/tidewater.js");

/// These files in one module; the first is where the page begins.
pub(crate) async fn bundle(files: &[(&str, &str)]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text)?;
    }
    let mut esbuild = Command::new(npm::package("esbuild")?.join("bin/esbuild"));
    esbuild.arg(files[0].0).args(["--bundle", "--format=esm", "--jsx=automatic", "--log-level=error"]);
    esbuild.arg(format!("--alias:tidewater-sse={HELPER}"));
    // React's StrictMode mounts twice in development alone.
    esbuild.arg("--define:process.env.NODE_ENV=\"development\"");
    output(esbuild, folder.path()).await
}

/// The module that Vue's compiler makes of a component's file.
pub(crate) async fn compile_vue(component: &str) -> Result<String> {
    const COMPILE: &str = r#"
        const { parse, compileScript } = require("vue/compiler-sfc");
        const { descriptor } = parse(process.argv[1]);
        process.stdout.write(compileScript(descriptor, { id: "component", inlineTemplate: true }).content);
    "#;
    let mut node = Command::new("node");
    node.args(["-e", COMPILE, component]);
    output(node, &npm::package("vue")?).await
}

/// What a command writes that is run in this folder, and finds the packages.
async fn output(mut command: Command, folder: &Path) -> Result<String> {
    let packages = npm::package("vue")?;
    command.current_dir(folder).env("NODE_PATH", packages.parent().unwrap_or(&packages));
    let output = command.output().await?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
