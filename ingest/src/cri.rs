//! What a container runtime answers on its CRI socket: the few messages of `runtime/v1/api.proto`
//! that say how its containers are called.
//!
//! Pure: bytes in, containers out. gRPC's frame around a message is read here, too; connections
//! are the caller's.

use std::collections::HashMap;

use prost::Message;

/// The names of the service that answer alike: containerd before 1.6 knows the second alone.
pub const SERVICES: [&str; 2] = [
    "runtime.v1.RuntimeService",
    "runtime.v1alpha2.RuntimeService",
];
/// The method that lists containers.
pub const LIST_CONTAINERS: &str = "ListContainers";
/// The method that lists the sandboxes of pods.
pub const LIST_SANDBOXES: &str = "ListPodSandbox";
/// A request for all: an empty message in its frame.
pub const REQUEST: [u8; FRAME_BYTES] = [0; FRAME_BYTES];

/// Whether it is compressed, and a length.
const FRAME_BYTES: usize = 5;
/// What the sandbox of a pod is called, as before CRI.
const SANDBOX_NAME: &str = "POD";

/// A container as its engine knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// 64 digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image as it was asked for, or empty.
    pub image: String,
    /// Its labels, by key.
    pub labels: Vec<(String, String)>,
}

#[derive(Clone, PartialEq, Message)]
struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<CriContainer>,
}

#[derive(Clone, PartialEq, Message)]
struct CriContainer {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "4")]
    image: Option<ImageSpec>,
    #[prost(map = "string, string", tag = "8")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
    #[prost(string, tag = "18")]
    user_specified_image: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Sandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct Sandbox {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(map = "string, string", tag = "5")]
    labels: HashMap<String, String>,
}

/// Why an answer is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The frame does not hold what it says.
    #[error("its frame says {said} bytes, and {found} are there")]
    Frame {
        /// What it says.
        said: usize,
        /// What is there.
        found: usize,
    },
    /// Nobody asked for compression.
    #[error("its answer is compressed")]
    Compressed,
    /// It is not the message.
    #[error("its answer is not the message that was asked for: {0}")]
    Protobuf(#[from] prost::DecodeError),
}

/// Reads an answer to [`LIST_CONTAINERS`].
///
/// # Errors
/// [`Error`].
pub fn containers(answer: &[u8]) -> Result<Vec<Container>, Error> {
    let response: ListContainersResponse = message(answer)?;
    let containers = response.containers.into_iter().map(|container| {
        let image = container.image.unwrap_or_default();
        Container {
            id: container.id,
            name: container.metadata.unwrap_or_default().name,
            // What a Kubelet names here otherwise is the image's digest.
            image: match image.user_specified_image.is_empty() {
                true => image.image,
                false => image.user_specified_image,
            },
            labels: sorted(container.labels),
        }
    });
    Ok(containers.collect())
}

/// Reads an answer to [`LIST_SANDBOXES`]: what holds a pod's network, under the name `POD`.
///
/// # Errors
/// [`Error`].
pub fn sandboxes(answer: &[u8]) -> Result<Vec<Container>, Error> {
    let response: ListPodSandboxResponse = message(answer)?;
    let sandboxes = response.items.into_iter().map(|sandbox| Container {
        id: sandbox.id,
        name: SANDBOX_NAME.to_owned(),
        image: String::new(),
        labels: sorted(sandbox.labels),
    });
    Ok(sandboxes.collect())
}

fn message<M: Message + Default>(answer: &[u8]) -> Result<M, Error> {
    let Some((frame, body)) = answer.split_first_chunk::<FRAME_BYTES>() else {
        return Err(Error::Frame {
            said: FRAME_BYTES,
            found: answer.len(),
        });
    };
    let [compressed, len @ ..] = *frame;
    if compressed != 0 {
        return Err(Error::Compressed);
    }
    let said = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
    let body = body.get(..said).ok_or(Error::Frame {
        said,
        found: body.len(),
    })?;
    Ok(M::decode(body)?)
}

fn sorted(labels: HashMap<String, String>) -> Vec<(String, String)> {
    let mut labels: Vec<_> = labels.into_iter().collect();
    labels.sort_unstable();
    labels
}

/// An answer to [`LIST_CONTAINERS`], for servers of tests.
#[cfg(test)]
pub(crate) fn answer_with(containers: &[Container]) -> Vec<u8> {
    let containers = containers.iter().map(|container| CriContainer {
        id: container.id.clone(),
        metadata: Some(Metadata {
            name: container.name.clone(),
        }),
        image: Some(ImageSpec {
            image: "sha256:0123".to_owned(),
            user_specified_image: container.image.clone(),
        }),
        labels: container.labels.iter().cloned().collect(),
    });
    framed(&ListContainersResponse {
        containers: containers.collect(),
    })
}

#[cfg(test)]
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let len = u32::try_from(body.len()).unwrap();
    [&[0][..], &len.to_be_bytes(), &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> Container {
        Container {
            id: "a".repeat(64),
            name: "coredns".to_owned(),
            image: "registry.k8s.io/coredns:v1.11".to_owned(),
            labels: vec![("io.kubernetes.pod.name".to_owned(), "p".to_owned())],
        }
    }

    #[test]
    fn containers_and_sandboxes_are_read() {
        assert_eq!(
            containers(&answer_with(&[container()])).unwrap(),
            [container()]
        );
        let unnamed = Container {
            image: String::new(),
            ..container()
        };
        let read = containers(&answer_with(&[unnamed])).unwrap();
        assert_eq!(read[0].image, "sha256:0123");
        let answer = framed(&ListPodSandboxResponse {
            items: vec![Sandbox {
                id: "b".to_owned(),
                labels: HashMap::default(),
            }],
        });
        let read = sandboxes(&answer).unwrap();
        assert_eq!((read[0].id.as_str(), read[0].name.as_str()), ("b", "POD"));
        assert!(sandboxes(&REQUEST).unwrap().is_empty());
    }

    #[test]
    fn every_cut_is_an_error_and_a_flip_makes_no_second_container() {
        let answer = answer_with(&[container()]);
        for end in 0..answer.len() {
            containers(&answer[..end]).unwrap_err();
        }
        for at in 0..answer.len() {
            for bit in 0..8 {
                let mut bad = answer.clone();
                bad[at] ^= 1 << bit;
                if let Ok(read) = containers(&bad) {
                    assert!(read.len() <= 1, "byte {at} bit {bit}");
                }
            }
        }
    }
}
