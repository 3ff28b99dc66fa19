//! Telling the registry how far a replica is.

use holdfast_domain::{GroupId, ReplicaId};
use holdfast_proto::registry::v1::{ReplicaReport, ReportRequest, custody_client::CustodyClient};

use super::{Runtime, StepError};

pub(super) async fn report(
    runtime: &Runtime,
    group: GroupId,
    replica: ReplicaId,
    report: ReplicaReport,
) -> Result<(), StepError> {
    let request = ReportRequest { group: group.0, replica_id: replica.0, report: report.into(), other: 0 };
    let answer = runtime
        .keeper
        .registries
        .call(|channel| async move { CustodyClient::new(channel).report(request).await })
        .await;
    answer?;
    tracing::info!(%group, %replica, report = report.as_str_name(), "reported");
    Ok(())
}
