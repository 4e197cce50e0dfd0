//! What a cgroup's path says: whose it is, by the shapes that engines and systemd give it.
//!
//! | made by | path |
//! |---|---|
//! | Docker, cgroupfs driver | `/docker/<id>` |
//! | Docker, systemd driver | `/system.slice/docker-<id>.scope` |
//! | containerd, CRI-O | `/kubepods.slice/…/kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope`, `crio-<id>.scope` |
//! | Kubelet, cgroupfs driver | `/kubepods/burstable/pod<uid>/<id>` |
//! | Podman | `/machine.slice/libpod-<id>.scope`, `…/libpod-<id>.scope/container` |
//! | systemd | `/system.slice/ssh.service`, `/user.slice/user-1000.slice/session-2.scope` |

/// The digits of a container's id.
const ID_LEN: usize = 64;

/// The ends of names that systemd gives to what holds processes.
const UNIT_SUFFIXES: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

/// The id of the outermost container in `path`.
pub(crate) fn container_id(path: &str) -> Option<&str> {
    path.split('/').find_map(element_id)
}

/// The path of the outermost container in `path`; what lies below belongs to that container.
pub(crate) fn container_root(path: &str) -> Option<&str> {
    let mut end = 0;
    for element in path.split('/') {
        end += element.len();
        if element_id(element).is_some() {
            return Some(&path[..end]);
        }
        end += 1;
    }
    None
}

/// `<id>`, `engine-<id>.scope` or `slice:engine:<id>`; a container's monitor is not it.
fn element_id(element: &str) -> Option<&str> {
    let name = element.strip_suffix(".scope").unwrap_or(element);
    let start = name.len().checked_sub(ID_LEN)?;
    let id = name.get(start..)?;
    let before = &name[..start];
    let is_hex = id
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_whole = before.is_empty() || before.ends_with(['-', ':']);
    (is_hex && is_whole && !before.contains("conmon")).then_some(id)
}

/// Whether `path` is a slice of systemd, which holds other cgroups.
pub(crate) fn is_slice(path: &str) -> bool {
    path.ends_with(".slice")
}

/// The uid of the pod in `path`, with `-` where systemd's names have `_`.
pub(crate) fn pod_uid(path: &str) -> Option<String> {
    path.split('/').find_map(|element| {
        let uid = match element.strip_suffix(".slice") {
            Some(slice) => slice.strip_prefix("kubepods")?.rsplit_once("-pod")?.1,
            None => element.strip_prefix("pod")?,
        };
        let is_uid = uid.len() >= 32
            && uid
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_'));
        is_uid.then(|| uid.replace('_', "-"))
    })
}

/// A name for the cgroup at `path`: its unit of systemd, with what is around and below that unit
/// but is no slice; where there is no unit, the last element.
pub(crate) fn container_name(path: &str) -> String {
    let path = container_root(path).unwrap_or(path);
    let is_unit = |element: &&str| UNIT_SUFFIXES.iter().any(|suffix| element.ends_with(suffix));
    let mut elements = path.split('/').filter(|element| !element.is_empty());
    let Some(unit) = elements.find(is_unit) else {
        return path.rsplit('/').next().unwrap_or(path).to_owned();
    };
    elements
        .filter(|element| !is_slice(element))
        .fold(unit.to_owned(), |name, element| name + "/" + element)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn every_engines_path_gives_its_container() {
        for (path, name) in [
            ("/docker/ID", "ID"),
            ("/system.slice/docker-ID.scope", "docker-ID.scope"),
            (
                "/system.slice/docker-ID.scope/init.scope",
                "docker-ID.scope",
            ),
            ("/docker/ID/system.slice/ssh.service", "ID"),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-ID.scope",
                "cri-containerd-ID.scope",
            ),
            ("/kubepods.slice/crio-ID.scope", "crio-ID.scope"),
            (
                "/machine.slice/libpod-ID.scope/container",
                "libpod-ID.scope",
            ),
            (
                "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:ID",
                "containerd.service/kubepods-pod1.slice:cri-containerd:ID",
            ),
        ] {
            let path = path.replace("ID", ID);
            assert_eq!(container_id(&path), Some(ID), "{path}");
            assert_eq!(container_name(&path), name.replace("ID", ID), "{path}");
            let root = container_root(&path).unwrap();
            assert!(path.starts_with(root) && root.contains(ID), "{path}");
        }
    }

    #[test]
    fn what_is_no_container_has_no_id() {
        for path in [
            "/",
            "/system.slice/ssh.service",
            "/docker/0123",
            &format!("/machine.slice/libpod-conmon-{ID}.scope"),
            &format!("/x/{ID}0"),
            &format!("/x/{}", ID.to_uppercase()),
            "/é/ä",
        ] {
            assert_eq!(container_id(path), None, "{path}");
            assert_eq!(container_root(path), None, "{path}");
        }
    }

    #[test]
    fn units_give_names_that_are_apart() {
        for (path, name) in [
            ("/system.slice/ssh.service", "ssh.service"),
            ("/init.scope", "init.scope"),
            ("/system.slice/a.service/worker", "a.service/worker"),
            (
                "/user.slice/user-1000.slice/session-2.scope",
                "session-2.scope",
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/pipewire.service",
                "user@1000.service/pipewire.service",
            ),
            ("/lxc/web", "web"),
            ("/process_api/e847", "e847"),
        ] {
            assert_eq!(container_name(path), name, "{path}");
        }
    }

    #[test]
    fn a_pods_uid_is_read_from_both_drivers_paths() {
        let uid = "16db8d0d-9838-46bc-a4d1-8abc88c3850d";
        let sliced = uid.replace('-', "_");
        for (path, expected) in [
            (format!("/kubepods/besteffort/pod{uid}/x"), Some(uid)),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{sliced}.slice/x"
                ),
                Some(uid),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{sliced}.slice"),
                Some(uid),
            ),
            (
                "/kubepods/burstable/pode9afcd8d3c942968802548f9a24d942a/x".to_owned(),
                Some("e9afcd8d3c942968802548f9a24d942a"),
            ),
            ("/machine.slice/pod.slice".to_owned(), None),
            ("/podman/x".to_owned(), None),
        ] {
            assert_eq!(pod_uid(&path).as_deref(), expected, "{path}");
        }
    }
}
