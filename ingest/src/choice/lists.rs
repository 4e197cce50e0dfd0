//! Lists of metrics that have a name of their own.

use crate::names::Series;

/// The ten that Heapster's documentation of its InfluxDB sink lists.
const HEAPSTER_V0: &[Series] = &[
    Series::Uptime,
    Series::CpuUsage,
    Series::MemoryUsage,
    Series::WorkingSet,
    Series::PageFaults,
    Series::NetworkRx,
    Series::NetworkTx,
    Series::NetworkRxErrors,
    Series::NetworkTxErrors,
    Series::FilesystemUsage,
];

/// What Heapster 1.5 stored of a Kubelet's summary and of pods, and what it computed.
const HEAPSTER_V1: &[Series] = &[
    Series::Uptime,
    Series::CpuUsage,
    Series::MemoryUsage,
    Series::WorkingSet,
    Series::MemoryRss,
    Series::PageFaults,
    Series::MajorPageFaults,
    Series::NetworkRx,
    Series::NetworkTx,
    Series::NetworkRxErrors,
    Series::NetworkTxErrors,
    Series::FilesystemUsage,
    Series::FilesystemLimit,
    Series::FilesystemAvailable,
    Series::FilesystemInodes,
    Series::FilesystemInodesFree,
    Series::EphemeralUsage,
    Series::CpuRequest,
    Series::CpuLimit,
    Series::MemoryRequest,
    Series::MemoryLimit,
    Series::EphemeralRequest,
    Series::EphemeralLimit,
    Series::RestartCount,
    Series::CpuUsageRate,
    Series::PageFaultsRate,
    Series::MajorPageFaultsRate,
    Series::NetworkRxRate,
    Series::NetworkTxRate,
    Series::NetworkRxErrorsRate,
    Series::NetworkTxErrorsRate,
    Series::CpuCapacity,
    Series::CpuAllocatable,
    Series::CpuUtilization,
    Series::CpuReservation,
    Series::MemoryCapacity,
    Series::MemoryAllocatable,
    Series::MemoryUtilization,
    Series::MemoryReservation,
    Series::EphemeralCapacity,
    Series::EphemeralAllocatable,
    Series::EphemeralUtilization,
    Series::EphemeralReservation,
];

const LISTS: [(&str, &[Series]); 2] = [("heapster-v0", HEAPSTER_V0), ("heapster-v1", HEAPSTER_V1)];

/// The list of a name, which stands behind `@`.
pub(super) fn find(name: &str) -> Option<&'static [Series]> {
    let mut lists = LISTS.iter();
    lists
        .find(|(known, _)| *known == name)
        .map(|(_, list)| *list)
}

/// All names, for a person.
pub(super) fn names() -> String {
    LISTS.map(|(name, _)| format!("@{name}")).join(" and ")
}
