//! The names that engines give to containers: asked for on their sockets, else read where the
//! engines keep them.
//!
//! Best effort: an engine that has neither, or does not let them be read, leaves the name of the
//! systemd unit or of the cgroup.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use plimsoll_engine::Timestamp;
use serde::Deserialize;

use super::sockets::Sockets;
use super::tree::Leaf;
use super::{Paths, path, read};

/// How often a container whose name was not found is looked up again.
const LOOKUPS_MAX: u8 = 3;

/// What a row is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    /// The image, or empty.
    pub(super) image: String,
    /// Labels, by key.
    pub(super) labels: Vec<(String, String)>,
}

/// Looks up names by container id, and keeps them as long as the container is there.
#[derive(Debug)]
pub(super) struct Engines {
    docker: PathBuf,
    podman: PathBuf,
    containerd: PathBuf,
    sockets: Sockets,
    known: HashMap<String, Lookup>,
}

#[derive(Debug, Clone)]
enum Lookup {
    Found(Named),
    Missing { lookups: u8 },
}

/// `config.v2.json` of a Docker container.
#[derive(Deserialize)]
struct Docker {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Config", default)]
    config: DockerConfig,
}

#[derive(Default, Deserialize)]
struct DockerConfig {
    #[serde(rename = "Image", default)]
    image: String,
    #[serde(rename = "Labels", default)]
    labels: std::collections::BTreeMap<String, String>,
}

/// An entry of Podman's `containers.json`.
#[derive(Deserialize)]
struct Podman {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

/// The OCI `config.json` of a containerd task.
#[derive(Deserialize)]
struct Task {
    #[serde(default)]
    annotations: std::collections::HashMap<String, String>,
}

impl Engines {
    pub(super) fn new(paths: &Paths) -> Self {
        Self {
            docker: paths.docker.clone(),
            podman: paths.podman.clone(),
            containerd: paths.containerd.clone(),
            sockets: Sockets::new(&paths.sockets),
            known: HashMap::new(),
        }
    }

    /// A name for each leaf; where two would be called alike, both are called by their paths.
    pub(super) fn names(&mut self, leaves: &[Leaf], now: Timestamp) -> Vec<Named> {
        let ids: Vec<Option<&str>> = leaves
            .iter()
            .map(|leaf| path::container_id(&leaf.path))
            .collect();
        self.known
            .retain(|known, _| ids.contains(&Some(known.as_str())));
        // One question for all that are new.
        let asked = match ids.iter().flatten().any(|id| !self.is_settled(id)) {
            true => self.sockets.list(now),
            false => HashMap::new(),
        };
        let mut names: Vec<Named> = leaves
            .iter()
            .zip(&ids)
            .map(|(leaf, id)| {
                id.and_then(|id| self.look_up(id, &asked))
                    .unwrap_or_else(|| Named {
                        name: path::container_name(&leaf.path),
                        ..Named::default()
                    })
            })
            .collect();
        for index in alike(&names, &ids) {
            names[index].name = leaves[index].path.trim_start_matches('/').to_owned();
        }
        names
    }

    /// Whether it is found, or was looked for often enough.
    fn is_settled(&self, id: &str) -> bool {
        match self.known.get(id) {
            Some(Lookup::Found(_)) => true,
            Some(Lookup::Missing { lookups }) => *lookups >= LOOKUPS_MAX,
            None => false,
        }
    }

    fn look_up(&mut self, id: &str, asked: &HashMap<String, Named>) -> Option<Named> {
        let lookups = match self.known.get(id) {
            Some(Lookup::Found(named)) => return Some(named.clone()),
            Some(Lookup::Missing { lookups }) if *lookups >= LOOKUPS_MAX => return None,
            Some(Lookup::Missing { lookups }) => *lookups,
            None => 0,
        };
        let found = asked
            .get(id)
            .filter(|named| !named.name.is_empty())
            .cloned()
            .or_else(|| docker(&self.docker, id))
            .or_else(|| podman(&self.podman, id))
            .or_else(|| containerd(&self.containerd, id))
            .filter(|named| !named.name.is_empty());
        let lookup = match &found {
            Some(named) => Lookup::Found(named.clone()),
            None => Lookup::Missing {
                lookups: lookups + 1,
            },
        };
        self.known.insert(id.to_owned(), lookup);
        found
    }
}

/// Which rows have another's name, and the same container's id if any.
fn alike(names: &[Named], ids: &[Option<&str>]) -> Vec<usize> {
    let mut counts: HashMap<(&str, Option<&str>), usize> = HashMap::new();
    for (named, id) in names.iter().zip(ids) {
        *counts.entry((&named.name, *id)).or_default() += 1;
    }
    let count = |index: &usize| counts[&(names[*index].name.as_str(), ids[*index])];
    (0..names.len()).filter(|index| count(index) > 1).collect()
}

fn docker(containers: &Path, id: &str) -> Option<Named> {
    let text = read::text(&containers.join(id).join("config.v2.json"))?;
    let container: Docker = serde_json::from_str(&text).ok()?;
    Some(Named {
        name: container.name.trim_start_matches('/').to_owned(),
        image: container.config.image,
        labels: container.config.labels.into_iter().collect(),
    })
}

fn podman(storage: &Path, id: &str) -> Option<Named> {
    let text = read::text(&storage.join("overlay-containers/containers.json"))?;
    let containers: Vec<Podman> = serde_json::from_str(&text).ok()?;
    let container = containers
        .into_iter()
        .find(|container| container.id == id)?;
    Some(Named {
        name: container.names.into_iter().next()?,
        ..Named::default()
    })
}

fn containerd(tasks: &Path, id: &str) -> Option<Named> {
    std::fs::read_dir(tasks)
        .ok()?
        .flatten()
        .find_map(|namespace| {
            let text = read::text(&namespace.path().join(id).join("config.json"))?;
            let task: Task = serde_json::from_str(&text).ok()?;
            let annotation = |keys: &[&str]| {
                keys.iter()
                    .find_map(|key| task.annotations.get(*key))
                    .cloned()
            };
            Some(Named {
                name: annotation(&["io.kubernetes.cri.container-name", "nerdctl/name"])?,
                image: annotation(&["io.kubernetes.cri.image-name"]).unwrap_or_default(),
                labels: Vec::new(),
            })
        })
}
