//! Lists the presets, so that adding one is adding a file.

use std::fmt::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=presets");
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells build scripts by the environment where to write"
    )]
    let out = std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    let mut list = String::from("&[\n");
    for path in files {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let path = path.to_str().ok_or("the path of the repository is not UTF-8")?;
        writeln!(list, "    ({name:?}, include_str!({path:?})),")?;
    }
    list.push(']');
    std::fs::write(Path::new(&out).join("presets.rs"), list)?;
    Ok(())
}
