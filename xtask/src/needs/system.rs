//! How this system installs what is missing: one command, with the names that its own packages have.
//!
//! Everywhere else in xtask a package goes by Debian's name.

use std::fs;

use crate::apt;

/// A system's packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Debian,
    /// As Debian, but for browsers: its packages of them are snaps, which do not see the tests' folders.
    Ubuntu,
    Fedora,
    Arch,
    Alpine,
    MacOs,
    Unknown,
}

const FIREFOX_ITSELF: &str = "put Firefox on PATH, from https://www.mozilla.org/firefox/";
const CHROME_FOR_TESTING: &str = "put Chrome and ChromeDriver of one version on PATH, from https://googlechromelabs.github.io/chrome-for-testing/";

impl System {
    /// The one that this program runs on.
    pub(crate) fn here() -> Self {
        if cfg!(target_os = "macos") {
            return Self::MacOs;
        }
        if !cfg!(target_os = "linux") {
            return Self::Unknown;
        }
        let release =
            ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|file| fs::read_to_string(file).ok());
        Self::from_release(&release.unwrap_or_default())
    }

    /// By `ID` and `ID_LIKE` of os-release.
    fn from_release(text: &str) -> Self {
        let value = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            lines.filter(|(key, _)| *key == name).map(|(_, value)| value.trim_matches(['"', '\''])).next()
        };
        let like = value("ID_LIKE").unwrap_or_default();
        for id in value("ID").into_iter().chain(like.split_whitespace()) {
            match id {
                "ubuntu" => return Self::Ubuntu,
                "debian" => return Self::Debian,
                "fedora" | "rhel" | "centos" => return Self::Fedora,
                "arch" => return Self::Arch,
                "alpine" => return Self::Alpine,
                _ => {}
            }
        }
        Self::Unknown
    }

    /// What installs these packages (Debian's names), as a person types it.
    pub(crate) fn install(self, packages: &[&str]) -> String {
        let mut commands = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut casks: Vec<&str> = Vec::new();
        for package in packages {
            match self.names(package) {
                Names::Packages(own) => names.extend(own.split(' ')),
                Names::Casks(own) => casks.extend(own.split(' ')),
                Names::Other(command) => commands.push(command.to_owned()),
            }
        }
        for list in [&mut names, &mut casks] {
            let mut seen = Vec::new();
            list.retain(|name| {
                !seen.contains(name) && {
                    seen.push(*name);
                    true
                }
            });
        }
        commands.sort_unstable();
        commands.dedup();
        let sudo = if apt::is_root() || self == Self::MacOs { "" } else { "sudo " };
        if !names.is_empty() {
            let names = names.join(" ");
            commands.insert(
                0,
                match self {
                    Self::Debian | Self::Ubuntu => format!("{sudo}apt-get install {names}"),
                    Self::Fedora => format!("{sudo}dnf install {names}"),
                    Self::Arch => format!("{sudo}pacman -S {names}"),
                    Self::Alpine => format!("{sudo}apk add {names}"),
                    Self::MacOs => format!("brew install {names}"),
                    Self::Unknown => format!("what Debian calls {names}"),
                },
            );
        }
        if !casks.is_empty() {
            commands.push(format!("brew install --cask {}", casks.join(" ")));
        }
        commands.join(" && ")
    }

    fn names(self, debian: &str) -> Names {
        use Names::{Casks, Other, Packages};
        use System::{Alpine, Arch, Debian, Fedora, MacOs, Ubuntu, Unknown};
        let own = match (debian, self) {
            ("gcc" | "g++" | "make", MacOs) => return Other("xcode-select --install"),
            ("gcc", Debian | Ubuntu | Unknown) => "gcc libc6-dev",
            ("gcc", Alpine) => "build-base",
            ("gcc", _) => "gcc",
            ("g++", Fedora) => "gcc-c++",
            ("g++", Arch) => "gcc",
            ("g++", Alpine) => "build-base",
            ("g++", _) => "g++",
            ("make", _) => "make",
            ("bash", _) => "bash",
            ("pkg-config", Fedora) => "pkgconf-pkg-config",
            ("pkg-config", Arch | Alpine | MacOs) => "pkgconf",
            ("pkg-config", _) => "pkg-config",
            ("libssl-dev", Fedora) => "openssl-devel",
            ("libssl-dev", Alpine) => "openssl-dev",
            ("libssl-dev", Arch) => "openssl",
            ("libssl-dev", MacOs) => "openssl@3",
            ("libssl-dev", _) => "libssl-dev",
            ("default-jdk-headless", Fedora) => "java-latest-openjdk-headless",
            ("default-jdk-headless", Arch) => "jre-openjdk-headless",
            ("default-jdk-headless", Alpine) => "openjdk21-jre-headless",
            ("default-jdk-headless", MacOs) => "openjdk",
            ("default-jdk-headless", _) => "default-jdk-headless",
            ("golang-go", Fedora) => "golang",
            ("golang-go", Arch | Alpine | MacOs) => "go",
            ("golang-go", _) => "golang-go",
            ("chromium" | "chromium-driver", Ubuntu) => return Other(CHROME_FOR_TESTING),
            ("chromium", MacOs) => return Casks("google-chrome"),
            ("chromium-driver", MacOs) => return Casks("chromedriver"),
            ("chromium-driver", Fedora) => "chromedriver",
            ("chromium-driver", Arch) => "chromium",
            ("chromium-driver", Alpine) => "chromium-chromedriver",
            ("chromium-driver", _) => "chromium-driver",
            ("chromium", _) => "chromium",
            ("firefox-esr", Ubuntu) => return Other(FIREFOX_ITSELF),
            ("firefox-esr", MacOs) => return Casks("firefox"),
            ("firefox-esr", Fedora | Arch) => "firefox",
            ("firefox-esr", _) => "firefox-esr",
            ("kcat", Arch) => return Other("kcat from the AUR"),
            ("kcat", _) => "kcat",
            ("nginx", _) => "nginx",
            ("haproxy", _) => "haproxy",
            ("npm", Fedora) => "nodejs-npm",
            ("npm", MacOs) => "node",
            ("npm", _) => "npm",
            ("maven", _) => "maven",
            ("docker", MacOs) => return Casks("docker"),
            ("docker", Debian | Ubuntu) => "docker.io docker-compose-v2",
            ("docker", _) => "docker docker-compose",
            // No name is known twice: whoever adds a tool sees the test below fail.
            _ => return Other("(no package is known)"),
        };
        Packages(own)
    }
}

/// What a system calls a package.
enum Names {
    /// One or more, with blanks between.
    Packages(&'static str),
    /// Homebrew's kind for applications.
    Casks(&'static str),
    /// Something else than the system's package manager.
    Other(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [System; 7] = [
        System::Debian,
        System::Ubuntu,
        System::Fedora,
        System::Arch,
        System::Alpine,
        System::MacOs,
        System::Unknown,
    ];

    #[test]
    fn os_release_tells_the_system() {
        let of = System::from_release;
        assert_eq!(of("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"), System::Debian);
        assert_eq!(of("ID=ubuntu\nID_LIKE=debian\n"), System::Ubuntu);
        assert_eq!(of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), System::Ubuntu);
        assert_eq!(of("ID=raspbian\nID_LIKE=debian\n"), System::Debian);
        assert_eq!(of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), System::Fedora);
        assert_eq!(of("ID=arch\n"), System::Arch);
        assert_eq!(of("ID=alpine\n"), System::Alpine);
        assert_eq!(of("ID=nixos\n"), System::Unknown);
        assert_eq!(of(""), System::Unknown);
    }

    #[test]
    fn one_command_installs_them_all() {
        let sudo = if apt::is_root() { "" } else { "sudo " };
        let packages = ["gcc", "g++", "make", "libssl-dev"];
        assert_eq!(
            System::Debian.install(&packages),
            format!("{sudo}apt-get install gcc libc6-dev g++ make libssl-dev")
        );
        assert_eq!(System::Alpine.install(&packages), format!("{sudo}apk add build-base make openssl-dev"));
        assert_eq!(System::MacOs.install(&packages), "brew install openssl@3 && xcode-select --install");
        assert_eq!(
            System::MacOs.install(&["chromium", "chromium-driver", "kcat"]),
            "brew install kcat && brew install --cask google-chrome chromedriver"
        );
        assert!(
            System::Ubuntu
                .install(&["chromium", "chromium-driver"])
                .starts_with("put Chrome and ChromeDriver")
        );
    }

    #[test]
    fn every_package_has_a_name_everywhere() {
        for package in super::super::tools::packages() {
            for system in ALL {
                assert!(!system.install(&[package]).contains("no package"), "{package} on {system:?}");
            }
        }
    }
}
