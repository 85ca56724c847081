//! Where the CUDA toolkit's libraries may be, beside where the loader looks.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Folders with the toolkit's libraries, those that were named first. `variable`: the environment's; `usual`:
/// where toolkits are installed. Those that Python's packages and cross-compilers' toolkits would have are left
/// out where they are not there.
pub fn toolkit_folders(variable: impl Fn(&str) -> Option<OsString>, usual: &[PathBuf]) -> Vec<PathBuf> {
    let named = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let conda = named("CONDA_PREFIX");
    let roots = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(named);
    let mut folders: Vec<PathBuf> = roots.flat_map(|root| of_toolkit(&root)).collect();
    folders.extend(conda.iter().flat_map(|root| of_toolkit(root)));
    let beside_programs = variable("PATH").map(|path| {
        let programs = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
        programs.filter_map(|folder| folder.parent().map(Path::to_owned)).collect::<Vec<_>>()
    });
    let home = named("HOME").map(|home| home.join(".local"));
    let environments = named("VIRTUAL_ENV").into_iter().chain(conda);
    let environments = environments.chain(beside_programs.into_iter().flatten()).chain(home);
    let python: Vec<PathBuf> = environments.flat_map(|root| of_python(&root)).collect();
    folders.extend(python);
    folders.extend(usual.iter().flat_map(|root| of_toolkit(root)));
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

/// Of a toolkit as NVIDIA's installer and Conda leave it.
fn of_toolkit(root: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.join("lib64"), root.join("lib")];
    folders.extend(matching(root, "targets/*/lib"));
    folders
}

/// Of the packages that pip puts into an environment: `nvidia-cublas` and `nvidia-curand` of CUDA 13 in
/// `nvidia/cu13`, those of CUDA 12 in a folder each.
fn of_python(root: &Path) -> Vec<PathBuf> {
    let patterns =
        ["site-packages", "dist-packages"].map(|kind| format!("lib*/python3*/{kind}/nvidia/*/lib"));
    patterns.iter().flat_map(|pattern| matching(root, pattern)).collect()
}

/// The folders below `root`, sorted.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some(root) = root.to_str() else { return Vec::new() };
    let pattern = format!("{}/{pattern}", glob::Pattern::escape(root));
    let Ok(paths) = glob::glob(&pattern) else { return Vec::new() };
    // what cannot be read holds no library that could be opened
    paths.filter_map(std::result::Result::ok).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders of `root` below, from environment variables whose values are below it too.
    fn found(root: &Path, variables: &[(&str, &str)], usual: &[&str]) -> Vec<String> {
        let below = |part: &str| root.join(part);
        let variable = |name: &str| {
            let (_, value) = variables.iter().find(|(other, _)| *other == name)?;
            let parts = value.split(':').filter(|part| !part.is_empty());
            std::env::join_paths(parts.map(below)).ok()
        };
        let usual: Vec<PathBuf> = usual.iter().map(|part| below(part)).collect();
        let folders = toolkit_folders(variable, &usual);
        folders.iter().map(|folder| folder.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    fn made(folders: &[&str]) -> tempfile::TempDir {
        let root = tempfile::Builder::new().prefix("[a]*").tempdir().unwrap();
        folders.iter().for_each(|folder| std::fs::create_dir_all(root.path().join(folder)).unwrap());
        root
    }

    #[test]
    fn toolkits_that_are_named_come_first_and_usual_places_last() {
        let root = made(&["home/targets/x86_64-linux/lib", "home/targets/sbsa-linux/lib", "conda/lib"]);
        assert_eq!(
            found(
                root.path(),
                &[("CUDA_HOME", "home"), ("CUDA_PATH", "home"), ("CONDA_PREFIX", "conda")],
                &["usual"]
            ),
            [
                "home/lib64",
                "home/lib",
                "home/targets/sbsa-linux/lib",
                "home/targets/x86_64-linux/lib",
                "conda/lib64",
                "conda/lib",
                "usual/lib64",
                "usual/lib",
            ]
        );
        assert_eq!(found(root.path(), &[("CUDA_HOME", "")], &["usual"]), ["usual/lib64", "usual/lib"]);
    }

    #[test]
    fn packages_of_python_are_found_in_every_environment() {
        let thirteen = "lib/python3.12/site-packages/nvidia/cu13/lib";
        let twelve =
            ["cublas", "curand"].map(|part| format!("lib/python3.10/site-packages/nvidia/{part}/lib"));
        let (venv, user) = (format!("venv/{thirteen}"), format!("home/.local/{thirteen}"));
        let conda = twelve.map(|folder| format!("conda/{folder}"));
        let system = "usr/lib/python3/dist-packages/nvidia/cu13/lib";
        let root =
            made(&[&venv, &user, &conda[0], &conda[1], system, "usr/bin", "usr/lib/python3/nvidia/cu13/lib"]);
        let variables = [
            ("VIRTUAL_ENV", "venv"),
            ("CONDA_PREFIX", "conda"),
            ("PATH", "nothing/bin:usr/bin:venv/bin"),
            ("HOME", "home"),
        ];
        let want = ["conda/lib64", "conda/lib", &venv[..], &conda[0][..], &conda[1][..], system, &user[..]];
        assert_eq!(found(root.path(), &variables, &[]), want);
    }
}
