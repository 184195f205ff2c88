//! `tidewater-VERSION-TARGET.tar.gz`: the binary, and what has to be, or is good to have, beside it.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::build::Target;
use crate::workspace;

/// What of the workspace is beside the binary.
const FILES: [&str; 6] = [
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "crates/tidewater-gateway/tidewater.sample.toml",
    "docs/deploy/tidewater.service",
];

/// An archive that is to be written: the same bytes for the same files, whoever packs it, and when.
pub(super) struct Archive {
    pub(super) target: Target,
    pub(super) binary: PathBuf,
    /// The licenses of what is linked in.
    pub(super) notices: String,
    /// What all its files are of, in seconds since 1970.
    pub(super) time: u64,
}

impl Archive {
    /// Writes it into this folder; says its name.
    pub(super) fn write(&self, folder: &Path) -> Result<String> {
        let name = format!("tidewater-{}-{}", env!("CARGO_PKG_VERSION"), self.target);
        let file = format!("{name}.tar.gz");
        let to = folder.join(&file);
        self.pack(&name, &to).with_context(|| format!("cannot write {}", to.display()))?;
        Ok(file)
    }

    fn pack(&self, name: &str, to: &Path) -> Result<()> {
        let packed = GzBuilder::new().write(BufWriter::new(File::create(to)?), Compression::best());
        let mut tar = Builder::new(packed);
        let mut add = |file: &Path, mode, bytes: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mode(mode);
            header.set_mtime(self.time);
            tar.append_data(&mut header, Path::new(name).join(file.file_name().unwrap_or_default()), bytes)
        };
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        add(&self.binary, 0o755, &read(&self.binary)?)?;
        for file in FILES {
            add(Path::new(file), 0o644, &read(&workspace::root().join(file))?)?;
        }
        add(Path::new("LICENSES-OF-OTHERS.txt"), 0o644, self.notices.as_bytes())?;
        tar.into_inner()?.finish()?.flush()?;
        Ok(())
    }
}

/// Writes `SHA256SUMS`, for `sha256sum --check`, and prints it.
pub(super) fn checksums(folder: &Path, archives: &[String]) -> Result<()> {
    let mut sums = String::new();
    for name in archives {
        let bytes = fs::read(folder.join(name)).with_context(|| name.clone())?;
        let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        _ = writeln!(sums, "{sum}  {name}");
    }
    print!("{sums}");
    let file = folder.join("SHA256SUMS");
    fs::write(&file, sums).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, env, io::Read};

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn an_archive_holds_what_it_should_and_is_the_same_again() {
        let folder = env::temp_dir().join(format!("xtask-release-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let binary = folder.join("tidewater");
        fs::write(&binary, "\x7fELF").unwrap();
        let notices = "MIT".to_owned();
        let archive = Archive { target: Target::Amd64, binary, notices, time: 86_400 };
        let name = archive.write(&folder).unwrap();
        let first = fs::read(folder.join(&name)).unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(GzDecoder::new(&*first)).entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.mtime().unwrap()), (0, 86_400));
            let (path, mode) = (entry.path().unwrap().display().to_string(), header.mode().unwrap());
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(path, (mode, bytes));
        }
        let inside = |file: &str| &files[&format!("{}/{file}", name.strip_suffix(".tar.gz").unwrap())];
        assert_eq!(*inside("tidewater"), (0o755, b"\x7fELF".to_vec()));
        assert_eq!(inside("tidewater.service").0, 0o644);
        assert_eq!(inside("LICENSES-OF-OTHERS.txt").1, b"MIT");

        assert!(archive.write(&folder).unwrap() == name && first == fs::read(folder.join(&name)).unwrap());
        checksums(&folder, std::slice::from_ref(&name)).unwrap();
        let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
        assert!(sums.len() == 64 + 2 + name.len() + 1 && sums.ends_with(&format!("  {name}\n")), "{sums}");
        fs::remove_dir_all(folder).unwrap();
    }
}
