//! The rules that nodes go by. Each field puts a mistake back that the rules exclude, to see that a run finds it.

/// What nodes do wrong; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// The target of a move of slots activates what it copied, before the source has frozen.
    pub activate_before_freeze: bool,
    /// The source of a move unfreezes as soon as the map wants the move given up, before the target's log has decided.
    pub unfreeze_on_give_up: bool,
    /// A voter whose disk is gone begins again under its old id.
    pub wiped_voter_votes: bool,
    /// A replica whose disk was put back to an older state takes part as if nothing had happened.
    pub old_disk_votes: bool,
    /// A leader takes a change of membership for done when it is in its log, and reports what is not committed.
    pub pending_is_done: bool,
}

impl Rules {
    /// Each mistake by name.
    pub const MISTAKES: [(&'static str, Self); 5] = [
        ("activate-before-freeze", Self { activate_before_freeze: true, ..Self::SOUND }),
        ("unfreeze-on-give-up", Self { unfreeze_on_give_up: true, ..Self::SOUND }),
        ("wiped-voter-votes", Self { wiped_voter_votes: true, ..Self::SOUND }),
        ("old-disk-votes", Self { old_disk_votes: true, ..Self::SOUND }),
        ("pending-is-done", Self { pending_is_done: true, ..Self::SOUND }),
    ];
    /// No mistake.
    pub const SOUND: Self = Self {
        activate_before_freeze: false,
        unfreeze_on_give_up: false,
        wiped_voter_votes: false,
        old_disk_votes: false,
        pending_is_done: false,
    };
}
