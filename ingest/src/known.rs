//! Tag sets of a Kubelet's rows, made once and kept while its pages hold them.
//!
//! A container has the same tags in every scrape. Making them, with the labels of its pod, costs
//! more than all of its values.

use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use plimsoll_engine::TagSet;

use crate::kubelet::PodList;
use crate::names::{Place, Pod, Subject, Writer};
use crate::profile::{Naming, dressed};

/// Scrapes after which a row that was not seen in them is forgotten.
const SCRAPES_KEPT: u32 = 16;
/// Containers of one pod, and resources of one container, that are looked for one by one; of what
/// is beyond them tags are made each time.
const NEIGHBOURS_MAX: usize = 64;

/// See the module. One for each target.
#[derive(Debug, Default)]
pub struct KnownTags {
    /// What labels and aliases become; none where rows are dressed later.
    naming: Option<Arc<Naming>>,
    labels: Option<Arc<PodList>>,
    place: Option<Place>,
    pods: HashMap<PodKey, Vec<Container>>,
    scrape: u32,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PodKey {
    namespace: Box<str>,
    name: Box<str>,
    uid: Box<str>,
}

impl Equivalent<PodKey> for Pod<'_> {
    fn equivalent(&self, key: &PodKey) -> bool {
        *self.name == *key.name && *self.namespace == *key.namespace && *self.uid == *key.uid
    }
}

impl From<&Pod<'_>> for PodKey {
    fn from(pod: &Pod<'_>) -> Self {
        Self {
            namespace: pod.namespace.into(),
            name: pod.name.into(),
            uid: pod.uid.into(),
        }
    }
}

/// Nameless: the pod itself; in the nameless pod, the node and its system containers.
#[derive(Debug)]
struct Container {
    name: Box<str>,
    image: Box<str>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    resource: Box<str>,
    tags: TagSet,
    /// The scrape that it was seen in last, and its number in that scrape's batch.
    scrape: u32,
    number: u32,
}

impl KnownTags {
    /// Nothing yet; tag sets are made with what `naming` says of labels and aliases.
    #[must_use]
    pub fn dressing(naming: Arc<Naming>) -> Self {
        Self {
            naming: Some(naming),
            ..Self::default()
        }
    }

    /// Takes a list of pods: rows of those whose labels changed are made anew.
    pub fn take_pods(&mut self, pods: Arc<PodList>) {
        if self.naming.is_none() {
            return;
        }
        let before = self.labels.replace(Arc::clone(&pods));
        let labels_before = |key: &PodKey| before.as_ref()?.labels_of(&key.namespace, &key.name);
        self.pods
            .retain(|key, _| labels_before(key) == pods.labels_of(&key.namespace, &key.name));
    }

    /// Starts with a new batch, of this place.
    pub(crate) fn begin(&mut self, place: &Place) {
        if self.place.as_ref() != Some(place) {
            self.pods.clear();
            self.place = Some(place.clone());
        }
        self.scrape = self.scrape.wrapping_add(1);
        if !self.scrape.is_multiple_of(SCRAPES_KEPT) {
            return;
        }
        let now = self.scrape;
        self.pods.retain(|_, containers| {
            containers.retain_mut(|container| {
                let is_kept = |row: &Row| now.wrapping_sub(row.scrape) <= SCRAPES_KEPT;
                container.rows.retain(is_kept);
                !container.rows.is_empty()
            });
            !containers.is_empty()
        });
    }

    /// The number, in the writer's batch, of the tags of a row; an empty `resource` is none.
    ///
    /// The writer's batch is the one that was begun with.
    pub(crate) fn tag_set(
        &mut self,
        writer: &mut Writer,
        subject: Subject<'_>,
        resource: &str,
    ) -> u32 {
        let (pod, name, image) = match subject {
            Subject::Node => (Pod::default(), "", ""),
            // Its id is told apart from others' only by its name, which a Kubelet's pages have.
            Subject::SysContainer { name, image, .. } => (Pod::default(), name, image),
            Subject::Pod(pod) => (pod, "", ""),
            Subject::PodContainer { pod, name, image } => (pod, name, image),
        };
        let Self {
            naming,
            labels,
            place,
            pods,
            scrape,
        } = self;
        let make = || {
            let place = place.as_ref().expect("a scrape was begun with a place");
            let tags = place.tags(subject, &[("resource_id", resource)]);
            match &*naming {
                None => tags,
                Some(naming) => {
                    let labels = labels.as_ref();
                    let labels = labels.and_then(|list| list.labels_of(pod.namespace, pod.name));
                    let labels = labels.map(|labels| naming.labels.tags_of(borrowed(labels)));
                    dressed(&tags, labels.as_deref().unwrap_or_default(), naming.aliases)
                }
            }
        };
        if !pods.contains_key(&pod) {
            pods.insert(PodKey::from(&pod), Vec::new());
        }
        let containers = pods.get_mut(&pod).expect("it was put there if it was not");
        let same = |container: &Container| *container.name == *name && *container.image == *image;
        let container = match containers.iter().position(same) {
            Some(index) => &mut containers[index],
            None if containers.len() >= NEIGHBOURS_MAX => return writer.tag_set(&make()),
            None => {
                containers.push(Container {
                    name: name.into(),
                    image: image.into(),
                    rows: Vec::new(),
                });
                containers.last_mut().expect("it was pushed")
            }
        };
        let mut rows = container.rows.iter_mut();
        if let Some(row) = rows.find(|row| *row.resource == *resource) {
            if row.scrape != *scrape {
                row.number = writer.tag_set(&row.tags);
                row.scrape = *scrape;
            }
            return row.number;
        }
        let tags = make();
        let number = writer.tag_set(&tags);
        if container.rows.len() < NEIGHBOURS_MAX {
            container.rows.push(Row {
                resource: resource.into(),
                tags,
                scrape: *scrape,
                number,
            });
        }
        number
    }
}

/// Labels as texts.
pub(crate) fn borrowed(labels: &[(Box<str>, Box<str>)]) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(key, value)| (&**key, &**value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(nodename: &str) -> Place {
        Place {
            cluster_name: "default".to_owned(),
            nodename: nodename.to_owned(),
            hostname: nodename.to_owned(),
        }
    }

    fn pods(label: &str) -> Arc<PodList> {
        let text = format!(
            r#"{{"items":[{{"metadata":{{"name":"p","namespace":"d","labels":{{"app":"{label}"}}}},"spec":{{}}}},
                {{"metadata":{{"name":"q","namespace":"d"}},"spec":{{}}}}]}}"#
        );
        Arc::new(PodList::parse(text.as_bytes()).unwrap())
    }

    fn subject(name: &'static str) -> Subject<'static> {
        let pod = Pod {
            namespace: "d",
            name: "p",
            uid: "u",
        };
        Subject::PodContainer {
            pod,
            name,
            image: "i",
        }
    }

    fn labels(known: &mut KnownTags, place: &Place, subject: Subject<'_>) -> String {
        known.begin(place);
        let mut writer = Writer::new();
        let number = known.tag_set(&mut writer, subject, "");
        assert_eq!(known.tag_set(&mut writer, subject, ""), number);
        let batch = writer.finish();
        let tags = &batch.tag_sets()[number as usize];
        let value = |key| tags.value(key).unwrap_or_default().into_owned();
        format!("{} {}", value("nodename"), value("labels"))
    }

    #[test]
    fn rows_are_made_anew_where_their_labels_or_their_node_change() {
        let mut known = KnownTags::dressing(Arc::default());
        let (n1, n2) = (place("n1"), place("n2"));
        let main = subject("main");
        assert_eq!(labels(&mut known, &n1, main), "n1 ");
        known.take_pods(pods("shop"));
        assert_eq!(labels(&mut known, &n1, main), "n1 app:shop");
        known.take_pods(pods("shop"));
        assert_eq!(known.pods.len(), 1, "nothing changed");
        assert_eq!(labels(&mut known, &n1, main), "n1 app:shop");
        known.take_pods(pods("till"));
        assert_eq!(labels(&mut known, &n1, main), "n1 app:till");
        assert_eq!(labels(&mut known, &n2, main), "n2 app:till");
    }

    #[test]
    fn what_pages_hold_no_more_is_forgotten_and_what_is_too_much_is_not_kept() {
        let mut known = KnownTags::default();
        let place = place("n1");
        labels(&mut known, &place, subject("gone"));
        for _ in 0..3 * SCRAPES_KEPT {
            labels(&mut known, &place, subject("main"));
        }
        let names = |known: &KnownTags| -> Vec<Box<str>> {
            let containers = known.pods.values().flatten();
            containers.map(|container| container.name.clone()).collect()
        };
        assert_eq!(names(&known), ["main".into()]);
        let mut writer = Writer::new();
        known.begin(&place);
        for number in 0..2 * NEIGHBOURS_MAX {
            let name = format!("c-{number}");
            let Subject::PodContainer { pod, .. } = subject("main") else {
                unreachable!("it is one");
            };
            let one = Subject::PodContainer {
                pod,
                name: &name,
                image: "",
            };
            known.tag_set(&mut writer, one, "");
            known.tag_set(&mut writer, subject("main"), &name);
        }
        assert_eq!(writer.finish().tag_sets().len(), 4 * NEIGHBOURS_MAX);
        assert_eq!(names(&known).len(), NEIGHBOURS_MAX);
        let containers = known.pods.values().flatten();
        assert!(
            containers
                .into_iter()
                .all(|one| one.rows.len() <= NEIGHBOURS_MAX)
        );
    }
}
