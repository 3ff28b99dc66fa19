//! `holdfast audit`.

use serde_json::json;

use super::{
    app::App,
    failure::Failure,
    output::{Format, write_out},
};
use crate::{operator::AuditEvent, time::rfc3339};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "With -o json, one object a line: index, time_ms, what, hash. Each hash covers its event and all before it.\n\nExample:\n  holdfast audit --from 120"
)]
pub(super) struct Args {
    /// Begin at this log index
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    from: u64,
}

pub(super) async fn run(app: &App, args: &Args) -> Result<(), Failure> {
    let operator = app.operator().await?;
    let mut written = Ok(());
    let each = |event: AuditEvent| {
        if written.is_ok() {
            written = write_out(line(app.output, &event).as_bytes());
        }
    };
    operator.audit(args.from, each).await?;
    written
}

fn line(format: Format, event: &AuditEvent) -> String {
    let AuditEvent { index, time, what, hash } = event;
    match format {
        Format::Human => format!("{index:>8}  {}  {what}\n", rfc3339(*time)),
        Format::Json => {
            format!(
                "{}\n",
                json!({ "index": index, "time_ms": time.0, "what": what, "hash": hash.to_string() })
            )
        }
    }
}
