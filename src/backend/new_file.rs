//! New files that may be read by whom the umask lets, as any other: those of `tempfile` and of
//! `safetensors` may be read by their owner alone, and a copy has the mode of what was copied.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// The start of the name of everything that is not finished yet.
pub const UNFINISHED: &str = ".unfinished-";

/// A file in `folder` that is to be renamed when it is whole.
pub fn unfinished_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Gives the file `path` the mode of a new file beside it.
pub fn share(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::set_permissions(path, unfinished_in(folder)?.as_file().metadata()?.permissions())
}

/// Writes what is in the file `from` to `to`.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    io::copy(&mut File::open(from)?, &mut File::create(to)?)?;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::metadata;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_have_the_mode_of_any_other_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mode = |name: &str| metadata(path(name)).unwrap().permissions().mode();
        File::create(path("plain")).unwrap();
        unfinished_in(folder.path()).unwrap().persist(path("finished")).unwrap();
        NamedTempFile::new_in(folder.path()).unwrap().persist(path("shared")).unwrap();
        assert_eq!(mode("shared") & 0o777, 0o600);
        share(&path("shared")).unwrap();
        fs::set_permissions(path("shared"), fs::Permissions::from_mode(0o400)).unwrap();
        copy(&path("shared"), &path("copied")).unwrap();
        share(&path("shared")).unwrap();
        assert_eq!(["finished", "shared", "copied"].map(mode), [mode("plain"); 3]);
    }
}
