//! Unix sockets, and their files.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process,
};

use tidewater::direct::BACKLOG;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use crate::failure::Failure;

/// Its owner and its group may connect: the proxy's user belongs in the group.
const MODE: u32 = 0o660;
/// How many names are tried.
const NAMES: u32 = 100;

/// A socket's file, which is removed when this is dropped, unless another has taken its place.
#[derive(Debug)]
pub(in crate::serve) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_own = fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode);
        if is_own && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file stays");
        }
    }
}

/// Listens on a socket at this path. One that is there already, and that nobody answers on, is left over: it is replaced.
pub(super) async fn bind(path: &Path) -> Result<(UnixListener, SocketFile), Failure> {
    check(path).await.map_err(|why| refused(path, why))?;
    listen(path).map_err(|error| {
        refused(path, format_args!("{error}. The folder has to be there, and to be writable"))
    })
}

async fn check(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(file) if !file.file_type().is_socket() => {
            return Err("there is a file that is no socket: take another path, or remove it".to_owned());
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound].contains(&error.kind()) => {
            Ok(())
        }
        // A full queue is somebody's as well.
        _ => Err("another program listens on it: stop it, or take another path".to_owned()),
    }
}

/// Made under another name, so that nobody connects before its mode is right, and nobody finds it missing.
fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let (socket, own) = make(path)?;
    let made = (|| {
        fs::set_permissions(&own, fs::Permissions::from_mode(MODE))?;
        let listener = socket.listen(BACKLOG)?;
        let inode = fs::symlink_metadata(&own)?.ino();
        fs::rename(&own, path)?;
        Ok((listener, SocketFile { path: path.to_owned(), inode }))
    })();
    if made.is_err() {
        fs::remove_file(&own).ok();
    }
    made
}

/// A socket beside this path, under a name that nobody has: a file that is there is somebody's, and stays. (In a container
/// each process may have the same id as the one before.)
fn make(path: &Path) -> io::Result<(UnixSocket, PathBuf)> {
    let mut number = process::id();
    for _ in 1..NAMES {
        match bind_beside(path, number) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => number = number.wrapping_add(1),
            made => return made,
        }
    }
    bind_beside(path, number)
}

fn bind_beside(path: &Path, number: u32) -> io::Result<(UnixSocket, PathBuf)> {
    // Short: there is room for some hundred bytes.
    let own = path.with_file_name(format!(".{number}"));
    let socket = UnixSocket::new_stream()?;
    socket.bind(&own)?;
    Ok((socket, own))
}

fn refused(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::listen(format_args!("unix:{} can't be listened on: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_left_over_is_replaced_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("tidewater-unix-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        // Killed: the file stays.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (_listener, file) = bind(&path).await.unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        let error = bind(&path).await.unwrap_err().to_string();
        assert!(error.contains("another program listens"), "{error}");
        UnixStream::connect(&path).await.unwrap();
        drop(file);
        assert!(!path.exists());

        fs::write(&path, "precious").unwrap();
        let error = bind(&path).await.unwrap_err().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();

        // One that another has put in its place is not its own.
        let (_listener, file) = bind(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(file);
        assert!(path.exists());
        // Nor is what has the name under which it is made.
        let path = folder.join("other");
        let beside = folder.join(format!(".{}", process::id()));
        fs::write(&beside, "precious").unwrap();
        let (_listener, file) = bind(&path).await.unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&beside).unwrap(), "precious");
        // Whatever may be a socket's path is one: macOS has room for 103 bytes, Linux for 107.
        let path = folder.join("x".repeat(102 - folder.as_os_str().len()));
        drop(bind(&path).await.unwrap());
        let error = bind(&folder.join("none/socket")).await.unwrap_err().to_string();
        assert!(error.contains("none/socket can't be listened on"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
