//! Engines of this process on sockets of their own.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plimsoll_engine::Timestamp;
use tokio::net::UnixListener;
use tokio::task::spawn_blocking;

use super::{Protocol, Socket, Sockets};
use crate::cgroup::Collected;
use crate::cgroup::tests::Machine;
use crate::cri::{self, Container};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const INFRA: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const NOW: Timestamp = Timestamp(4_000_000_000_000_000_000);

/// What an engine answers to a path; an empty answer is a failed call.
type Answers = fn(&str) -> Vec<u8>;

/// Serves one engine, and counts who asks.
fn serve(path: &Path, protocol: Protocol, answers: Answers) -> Arc<AtomicUsize> {
    let listener = UnixListener::bind(path).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            let service = service_fn(move |request: Request<Incoming>| {
                count.fetch_add(1, Ordering::SeqCst);
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    if protocol == Protocol::Cri {
                        assert_eq!(body[..], cri::REQUEST);
                        assert_eq!(parts.headers["content-type"], "application/grpc");
                    }
                    let answer = answers(parts.uri.path());
                    let mut response = Response::builder();
                    if answer.is_empty() {
                        let status = response.headers_mut().unwrap();
                        status.insert("grpc-status", "12".parse().unwrap());
                        status.insert("grpc-message", "unknown service".parse().unwrap());
                    }
                    Ok::<_, Infallible>(response.body(Full::new(Bytes::from(answer))).unwrap())
                }
            });
            let stream = TokioIo::new(stream);
            tokio::spawn(async move {
                // A client that has what it wants goes.
                match protocol {
                    Protocol::Docker => hyper::server::conn::http1::Builder::new()
                        .serve_connection(stream, service)
                        .await
                        .ok(),
                    Protocol::Cri => hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(stream, service)
                        .await
                        .ok(),
                }
            });
        }
    });
    asked
}

fn docker(path: &str) -> Vec<u8> {
    assert_eq!(path, "/containers/json");
    format!(
        r#"[{{"Id":"{ID}","Names":["/shop/db","/web"],"Image":"nginx:1","State":"running",
             "Labels":{{"app":"shop","com.docker.compose.project":"p"}}}},
            {{"Id":"other","Names":null,"Labels":null}}]"#
    )
    .into_bytes()
}

/// As Podman 4.9 answers Docker's call: names with one `/`, full image names, no labels as null, the
/// infra container of a pod among them with an image of its own or none, and keys of inspecting.
fn podman(path: &str) -> Vec<u8> {
    assert_eq!(path, "/containers/json");
    format!(
        r#"[{{"Id":"{ID}","Names":["/web"],"Image":"docker.io/library/nginx:latest",
             "ImageID":"sha256:a72860cb95fd59e9c696c66441c64f18e66915fa26b249911e83c3854477ed9a",
             "Command":"nginx -g daemon off;","Created":1700000000,
             "Ports":[{{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}}],
             "Labels":{{"app":"shop","maintainer":"NGINX Docker Maintainers <d@nginx.com>",
                        "PODMAN_SYSTEMD_UNIT":"web.service"}},
             "State":"running","Status":"Up 3 minutes",
             "NetworkSettings":{{"Networks":{{"podman":{{"IPAMConfig":null,"Links":null,
                 "Aliases":["0123456789ab"],"NetworkID":"podman","DriverOpts":null}}}}}},
             "Mounts":null,"Name":"","Config":null,"NetworkingConfig":null,"Platform":null,
             "DefaultReadOnlyNonRecursive":false}},
            {{"Id":"{INFRA}","Names":["/2f1e9ab4c0de-infra"],"Image":"",
             "ImageID":"sha256:","Command":"","Created":1700000000,"Ports":[],"Labels":null,
             "State":"running","Status":"Up 3 minutes",
             "NetworkSettings":{{"Networks":{{}}}},"Mounts":null,"Name":"","Config":null,
             "NetworkingConfig":null,"Platform":null}}]"#
    )
    .into_bytes()
}

fn of_pod(id: &str, name: &str) -> Container {
    let label = |key: &str, value: &str| (format!("io.kubernetes.{key}"), value.to_owned());
    Container {
        id: id.to_owned(),
        name: name.to_owned(),
        image: "coredns:1".to_owned(),
        labels: vec![
            label("pod.name", "coredns-1"),
            label("pod.namespace", "kube-system"),
        ],
    }
}

fn runtime_v1(path: &str) -> Vec<u8> {
    match path {
        "/runtime.v1.RuntimeService/ListContainers" => cri::answer_with(&[of_pod(ID, "coredns")]),
        "/runtime.v1.RuntimeService/ListPodSandbox" => cri::REQUEST.to_vec(),
        _ => Vec::new(),
    }
}

fn runtime_v1alpha2(path: &str) -> Vec<u8> {
    match path.starts_with("/runtime.v1.") {
        true => Vec::new(),
        false => runtime_v1(&path.replace("v1alpha2", "v1")),
    }
}

fn machine() -> Machine {
    let machine = Machine::new();
    machine.files(&[
        ("cgroup/cgroup.controllers", ""),
        ("cgroup/docker-ID.scope/cgroup.procs", "1\n"),
    ]);
    machine
}

/// Collects twice, on a thread that may block.
async fn collect(machine: Machine) -> [Collected; 2] {
    let collecting = spawn_blocking(move || {
        let mut collector = machine.collector();
        [NOW, Timestamp(NOW.0 + 1)].map(|now| collector.collect(now))
    });
    collecting.await.unwrap()
}

fn container_tags(collected: &Collected) -> String {
    let tag_sets = collected.batch.tag_sets().iter();
    let mut found = tag_sets.filter(|tags| tags.value("container_id").is_some());
    found.next().unwrap().as_str().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_says_name_image_and_labels_and_is_asked_once_for_a_container() {
    let machine = machine();
    let asked = serve(&machine.path("docker.sock"), Protocol::Docker, docker);
    let [first, second] = collect(machine).await;
    let expected = format!(
        "app=shop,cluster_name=default,container_base_image=nginx:1,container_id={ID},\
         container_name=web,hostname=h,nodename=h,type=sys_container"
    );
    assert_eq!(container_tags(&first), expected);
    assert_eq!(container_tags(&second), expected);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_says_the_same_in_its_own_way_and_a_pods_infra_container_has_its_name() {
    let machine = Machine::new();
    let slice = "cgroup/machine.slice/machine-libpod_pod_2f1e9ab4c0de.slice";
    let containers = [ID, INFRA].map(|id| format!("{slice}/libpod-{id}.scope/cgroup.procs"));
    machine.files(&[
        ("cgroup/cgroup.controllers", ""),
        (&containers[0], "1\n"),
        (&containers[1], "2\n"),
    ]);
    let asked = serve(&machine.path("docker.sock"), Protocol::Docker, podman);
    let [first, second] = collect(machine).await;
    for collected in [first, second] {
        let tag_sets = collected.batch.tag_sets().iter();
        let mut found: Vec<&str> = tag_sets
            .filter(|tags| tags.value("container_id").is_some())
            .map(|tags| tags.as_str())
            .collect();
        found.sort_unstable();
        let expected = [
            format!(
                "app=shop,cluster_name=default,\
                 container_base_image=docker.io/library/nginx:latest,container_id={ID},\
                 container_name=web,hostname=h,nodename=h,type=sys_container"
            ),
            format!(
                "cluster_name=default,container_id={INFRA},container_name=2f1e9ab4c0de-infra,\
                 hostname=h,nodename=h,type=sys_container"
            ),
        ];
        assert_eq!(found, expected);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let socket: Socket = "podman:/run/podman/podman.sock".parse().unwrap();
    assert_eq!(socket.protocol, Protocol::Docker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_of_kubernetes_says_the_same_in_either_version() {
    for answers in [runtime_v1 as Answers, runtime_v1alpha2] {
        let machine = machine();
        serve(&machine.path("cri.sock"), Protocol::Cri, answers);
        let [first, _] = collect(machine).await;
        assert_eq!(
            container_tags(&first),
            format!(
                "cluster_name=default,container_base_image=coredns:1,container_id={ID},\
                 container_name=coredns,hostname=h,io.kubernetes.pod.name=coredns-1,\
                 io.kubernetes.pod.namespace=kube-system,nodename=h,type=sys_container"
            )
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_fails_leaves_the_bare_name_and_is_left_alone() {
    for answers in [(|_| b"no list".to_vec()) as Answers, |_| Vec::new()] {
        let machine = machine();
        let of_docker = serve(&machine.path("docker.sock"), Protocol::Docker, answers);
        let of_cri = serve(&machine.path("cri.sock"), Protocol::Cri, answers);
        let [first, second] = collect(machine).await;
        for collected in [first, second] {
            let tags = container_tags(&collected);
            assert!(
                tags.contains(&format!("container_name=docker-{ID}.scope")),
                "{tags}"
            );
        }
        assert_eq!(of_docker.load(Ordering::SeqCst), 1);
        assert!(of_cri.load(Ordering::SeqCst) <= 2);
    }
}

#[test]
fn outside_of_a_runtime_and_without_sockets_nobody_is_asked() {
    let [socket] = ["docker:/nowhere/docker.sock"].map(|text| text.parse::<Socket>().unwrap());
    assert!(Sockets::new(&[socket]).list(NOW).is_empty());
}

#[test]
fn a_socket_is_written_with_what_it_speaks() {
    for text in ["docker:/run/docker.sock", "cri:/run/crio/crio.sock"] {
        assert_eq!(text.parse::<Socket>().unwrap().to_string(), text);
    }
    for text in ["/run/docker.sock", "cri:crio.sock", "tcp:/x", ""] {
        let error = text.parse::<Socket>().unwrap_err();
        assert!(error.contains("write it as docker:"), "{error}");
    }
}
