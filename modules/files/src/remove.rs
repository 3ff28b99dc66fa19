//! Removing a file.

use holdfast_domain::{CommandId, Reason};
use holdfast_sys_core::{
    Refusal,
    module::{Op, Partition, Precondition},
};

use crate::{
    name::FileName,
    rows::{Body, FileRow},
    transact::{Change, Plan},
    usage::Usage,
};

pub(crate) struct Remove {
    pub(crate) name: FileName,
    pub(crate) command: CommandId,
}

impl Change for Remove {
    type Reply = ();

    async fn plan(&self, partition: &dyn Partition, usage: &mut Usage) -> Result<Plan<()>, Refusal> {
        let Some((row, version)) = FileRow::read(partition, &self.name).await? else {
            // A retry of the call that removed it is no error.
            let done = partition.seen(self.command).await?;
            return if done { Ok(Plan::Nothing(())) } else { Err(Reason::NotFound.into()) };
        };
        usage.remove(row.size);
        let key = self.name.key()?;
        let mut ops = vec![Op::Delete(key.clone())];
        if let Body::Chunks(file) = row.body {
            ops.push(Op::DropContent(file));
        }
        Ok(Plan::Commit { preconditions: vec![Precondition::Is(key, version)], ops, reply: () })
    }

    async fn applied_before(&self, _: &dyn Partition) -> Result<(), Refusal> {
        Ok(())
    }
}
