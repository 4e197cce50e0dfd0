//! The server's own figures: one list, which `/metrics`, `/debug/vars` and the database
//! `_internal` print each in its own way.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::app::App;

/// How a figure behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows.
    Counter,
    /// It is what is now.
    Gauge,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figure {
    /// The measurement in `_internal`, InfluxDB's where it has one that means the same.
    pub(crate) group: &'static str,
    /// The field there.
    pub(crate) key: &'static str,
    /// The name in `/metrics`, without `plimsoll_`.
    pub(crate) metric: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    pub(crate) value: u64,
}

/// A figure that grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What neither the engine nor HTTP counts.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) writes_slowed: Count,
    pub(crate) udp_packets: Count,
    pub(crate) udp_batches_dropped: Count,
    pub(crate) continuous_ok: Count,
    pub(crate) continuous_failed: Count,
    pub(crate) continuous_points: Count,
    pub(crate) scrapes: Count,
    pub(crate) scrapes_with_problems: Count,
    pub(crate) scrape_points: Count,
    pub(crate) scrape_not_chosen: Count,
    pub(crate) scrape_bytes: Count,
    pub(crate) scrapes_not_stored: Count,
    pub(crate) scrapes_missed_turn: Count,
    pub(crate) scrapes_missed_answer: Count,
    pub(crate) scrapes_missed_write: Count,
    pub(crate) forward_points: Count,
    pub(crate) forward_points_refused: Count,
    pub(crate) forward_left_out: Count,
    pub(crate) forward_failures: Count,
    pub(crate) forward_frames_lost: Count,
}

/// All figures, group by group.
pub(crate) fn figures(app: &App) -> Vec<Figure> {
    use Kind::{Counter, Gauge};
    let (stats, http, own) = (app.engine.stats(), app.requests.counts(), &app.figures);
    let figure = |group, key, metric, kind, value, help| Figure {
        group,
        key,
        metric,
        kind,
        help,
        value,
    };
    let size = |count: usize| count as u64;
    let readers = app.engine.readers();
    let f = |key, metric, kind, value, help| figure("subscriber", key, metric, kind, value, help);
    let h = |key, metric, value, help| figure("httpd", key, metric, Counter, value, help);
    let e = |key, metric, kind, value, help| figure("plimsoll", key, metric, kind, value, help);
    let refused = u64::from(stats.writes_refused.is_some());
    vec![
        h(
            "req",
            "http_requests_total",
            http.all,
            "Requests that were answered.",
        ),
        h(
            "queryReq",
            "http_query_requests_total",
            http.queries,
            "Requests for queries.",
        ),
        h(
            "writeReq",
            "http_write_requests_total",
            http.writes,
            "Requests to write.",
        ),
        h(
            "pingReq",
            "http_ping_requests_total",
            http.pings,
            "Requests to /ping.",
        ),
        h(
            "clientError",
            "http_client_errors_total",
            http.client_errors,
            "Answers with a status of 4xx.",
        ),
        h(
            "serverError",
            "http_server_errors_total",
            http.server_errors,
            "Answers with a status of 5xx.",
        ),
        h(
            "authFail",
            "http_authentication_failures_total",
            http.authentication_failures,
            "Requests whose sender did not show who they are.",
        ),
        h(
            "writeReqBytes",
            "http_write_bytes_total",
            http.written_bytes,
            "Bytes of the bodies of writes, as they came.",
        ),
        h(
            "connections",
            "http_connections_total",
            http.connections,
            "Connections that were accepted.",
        ),
        h(
            "connectionsRefused",
            "http_connections_refused_total",
            http.connections_refused,
            "Connections over max_connection_limit.",
        ),
        h(
            "pointsWrittenOK",
            "points_written_total",
            stats.points_written,
            "Points that were stored.",
        ),
        h(
            "pointsWrittenDropped",
            "points_rejected_total",
            stats.points_rejected,
            "Points that were refused.",
        ),
        h(
            "writesSlowed",
            "writes_slowed_total",
            own.writes_slowed.get(),
            "Writes whose answer waited because the head is nearly full.",
        ),
        figure(
            "httpd",
            "writesWaiting",
            "writes_waiting",
            Gauge,
            size(app.workers.writes_waiting()),
            "Writes that wait for their turn.",
        ),
        figure(
            "httpd",
            "bodyBytes",
            "request_memory_bytes",
            Gauge,
            size(app.bodies.used_bytes()),
            "Memory of the bodies of requests.",
        ),
        figure(
            "queryExecutor",
            "queriesActive",
            "queries_active",
            Gauge,
            size(app.workers.queries_running()),
            "Queries that run now.",
        ),
        figure(
            "queryExecutor",
            "memoryBytes",
            "query_memory_bytes",
            Gauge,
            app.query.limits.memory_shared.bytes(),
            "Memory that queries hold.",
        ),
        figure(
            "queryExecutor",
            "queriesExecuted",
            "statements_total",
            Counter,
            http.statements,
            "Statements that were run.",
        ),
        figure(
            "queryExecutor",
            "queryDurationNs",
            "statements_ns_total",
            Counter,
            http.statements_ns,
            "Time that statements took, ns.",
        ),
        figure(
            "write",
            "req",
            "write_requests_total",
            Counter,
            http.writes,
            "Requests to write, as InfluxDB's write module counts them.",
        ),
        figure(
            "write",
            "pointReq",
            "points_received_total",
            Counter,
            stats.points_written.saturating_add(stats.points_rejected),
            "Points of all writes, stored or refused.",
        ),
        figure(
            "write",
            "writeDrop",
            "points_dropped_total",
            Counter,
            stats.points_rejected,
            "Points that were refused.",
        ),
        figure(
            "cq",
            "queryOk",
            "continuous_queries_total",
            Counter,
            own.continuous_ok.get(),
            "Runs of continuous queries.",
        ),
        figure(
            "cq",
            "queryFail",
            "continuous_queries_failed_total",
            Counter,
            own.continuous_failed.get(),
            "Runs of continuous queries that failed.",
        ),
        figure(
            "cq",
            "pointsWritten",
            "continuous_query_points_total",
            Counter,
            own.continuous_points.get(),
            "Points that continuous queries wrote.",
        ),
        figure(
            "scrape",
            "scrapes",
            "scrapes_total",
            Counter,
            own.scrapes.get(),
            "Sources that were read.",
        ),
        figure(
            "scrape",
            "problems",
            "scrapes_with_problems_total",
            Counter,
            own.scrapes_with_problems.get(),
            "Sources that were read with problems, or not at all.",
        ),
        figure(
            "scrape",
            "points",
            "scrape_points_total",
            Counter,
            own.scrape_points.get(),
            "Points that were read from sources.",
        ),
        figure(
            "scrape",
            "notChosen",
            "scrape_values_not_chosen_total",
            Counter,
            own.scrape_not_chosen.get(),
            "Values that were read from sources and left out by metrics_keep and metrics_drop.",
        ),
        figure(
            "scrape",
            "bytes",
            "scrape_bytes_total",
            Counter,
            own.scrape_bytes.get(),
            "Bytes that sources answered, unpacked.",
        ),
        figure(
            "scrape",
            "notStored",
            "scrapes_not_stored_total",
            Counter,
            own.scrapes_not_stored.get(),
            "Sources that were read and whose points could not be stored.",
        ),
        figure(
            "scrape",
            "missedTurn",
            "scrapes_missed_turn_total",
            Counter,
            own.scrapes_missed_turn.get(),
            "Scrapes that were left out behind one that waited for its turn (max_scrapes).",
        ),
        figure(
            "scrape",
            "missedAnswer",
            "scrapes_missed_answer_total",
            Counter,
            own.scrapes_missed_answer.get(),
            "Scrapes that were left out behind one whose answer took too long.",
        ),
        figure(
            "scrape",
            "missedWrite",
            "scrapes_missed_write_total",
            Counter,
            own.scrapes_missed_write.get(),
            "Scrapes that were left out behind one that waited to be written.",
        ),
        figure(
            "udp",
            "packets",
            "udp_packets_total",
            Counter,
            own.udp_packets.get(),
            "UDP packets that came.",
        ),
        figure(
            "udp",
            "batchesDropped",
            "udp_batches_dropped_total",
            Counter,
            own.udp_batches_dropped.get(),
            "Batches of UDP packets that were dropped.",
        ),
        f(
            "pointsWritten",
            "forward_points_total",
            Counter,
            own.forward_points.get(),
            "Points, or samples, that other stores took.",
        ),
        f(
            "pointsRefused",
            "forward_points_refused_total",
            Counter,
            own.forward_points_refused.get(),
            "Points that other stores refused for good.",
        ),
        f(
            "valuesLeftOut",
            "forward_values_left_out_total",
            Counter,
            own.forward_left_out.get(),
            "Values that are no numbers and not in remote writes.",
        ),
        f(
            "writeFailures",
            "forward_failures_total",
            Counter,
            own.forward_failures.get(),
            "Requests to other stores that failed and are tried again.",
        ),
        f(
            "framesLost",
            "forward_frames_lost_total",
            Counter,
            own.forward_frames_lost.get(),
            "Frames of the log that could not be forwarded: damaged, or dropped.",
        ),
        f(
            "backlogBytes",
            "forward_backlog_bytes",
            Gauge,
            readers
                .iter()
                .map(|reader| reader.held_bytes)
                .max()
                .unwrap_or(0),
            "Log that is kept for stores alone that have not taken it.",
        ),
        f(
            "framesBehind",
            "forward_frames_behind",
            Gauge,
            readers
                .iter()
                .map(|reader| reader.frames_behind)
                .max()
                .unwrap_or(0),
            "Frames of the log that the store which is farthest behind has not taken.",
        ),
        f(
            "bytesDropped",
            "forward_dropped_bytes_total",
            Counter,
            readers.iter().map(|reader| reader.bytes_dropped).sum(),
            "Log that was dropped over forward_backlog_bytes_max before it was forwarded.",
        ),
        e(
            "valuesWritten",
            "values_written_total",
            Counter,
            stats.values_written,
            "Field values that were stored.",
        ),
        e(
            "pointsOverTagSets",
            "points_over_tag_sets_total",
            Counter,
            stats.over_limits.tag_sets,
            "Points that were refused over max_tag_sets_per_database.",
        ),
        e(
            "pointsOverColumns",
            "points_over_columns_total",
            Counter,
            stats.over_limits.columns,
            "Points that were refused over max_columns_per_measurement.",
        ),
        e(
            "pointsOverTagSetBytes",
            "points_over_tag_set_bytes_total",
            Counter,
            stats.over_limits.tag_set_bytes,
            "Points that were refused for a tag set or a name of over 64 KiB.",
        ),
        e(
            "pointsOverStringBytes",
            "points_over_string_bytes_total",
            Counter,
            stats.over_limits.string_bytes,
            "Points that were refused for a string of over 1 MiB.",
        ),
        e(
            "headBytes",
            "head_bytes",
            Gauge,
            stats.head_bytes,
            "Memory of rows that are not in segments yet.",
        ),
        e(
            "logBytes",
            "log_bytes",
            Gauge,
            stats.log_bytes,
            "Log since the last flush.",
        ),
        e(
            "partitions",
            "partitions",
            Gauge,
            stats.partitions,
            "Partitions with segments.",
        ),
        e("segments", "segments", Gauge, stats.segments, "Segments."),
        e(
            "segmentBytes",
            "segment_bytes",
            Gauge,
            stats.segment_bytes,
            "Bytes of all segments.",
        ),
        e(
            "segmentsDamaged",
            "segments_damaged",
            Gauge,
            stats.segments_damaged,
            "Segments that could not be opened; queries of their times fail.",
        ),
        e(
            "corruptReads",
            "corrupt_reads_total",
            Counter,
            stats.corrupt_reads,
            "Reads that found bytes of a segment which do not verify.",
        ),
        e(
            "flushes",
            "flushes_total",
            Counter,
            stats.flushes,
            "Flushes of the head to segments.",
        ),
        e(
            "flushing",
            "flushing",
            Gauge,
            u64::from(stats.flushing),
            "1 while the head is flushed to segments.",
        ),
        e(
            "deletions",
            "deletions_total",
            Counter,
            stats.deletions,
            "Deletions of points: DELETE, DROP SERIES, DROP MEASUREMENT.",
        ),
        e(
            "tombstones",
            "tombstones",
            Gauge,
            stats.tombstones,
            "Deletions whose points are hidden and not yet merged out of segments.",
        ),
        e(
            "compactions",
            "compactions_total",
            Counter,
            stats.compactions,
            "Merges of segments.",
        ),
        e(
            "compactionsFailed",
            "compactions_failed_total",
            Counter,
            stats.compactions_failed,
            "Merges that failed and left the segments as they were.",
        ),
        e(
            "compactionsPutOff",
            "compactions_put_off_total",
            Counter,
            stats.compactions_put_off,
            "Merges that were put off, as too little of the disk was free.",
        ),
        e(
            "compactionReadBytes",
            "compaction_read_bytes_total",
            Counter,
            stats.compaction_bytes_read,
            "Bytes of segments that merges read.",
        ),
        e(
            "compactionValuesCopied",
            "compaction_copied_values_total",
            Counter,
            stats.compaction_values_copied,
            "Field values that merges took over without decoding them.",
        ),
        e(
            "compactionWrittenBytes",
            "compaction_written_bytes_total",
            Counter,
            stats.compaction_bytes_written,
            "Bytes of segments that merges wrote.",
        ),
        e(
            "partitionsExpired",
            "partitions_expired_total",
            Counter,
            stats.partitions_expired,
            "Partitions that retention dropped.",
        ),
        e(
            "writesRefused",
            "writes_refused",
            Gauge,
            refused,
            "1 while writes are refused because of the disk.",
        ),
    ]
}
