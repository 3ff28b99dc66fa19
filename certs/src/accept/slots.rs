//! Counting semaphores, one for all addresses and one for each. Nobody waits: a full one refuses.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Slots to take. Clones share one count.
#[derive(Clone)]
pub(super) struct Slots {
    total: usize,
    per_address: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

impl Slots {
    pub(super) fn new(total: usize, per_address: usize) -> Self {
        Self { total, per_address, taken: Arc::default() }
    }

    /// A slot, or `None` when there is none left in all or for this address.
    pub(super) fn take(&self, address: IpAddr) -> Option<Slot> {
        let address = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let from_address = taken.by_address.get(&address).copied().unwrap_or_default();
        if taken.total >= self.total || from_address >= self.per_address {
            return None;
        }
        taken.total += 1;
        *taken.by_address.entry(address).or_default() += 1;
        Some(Slot { address, taken: Arc::clone(&self.taken) })
    }
}

/// One taken slot, free again when dropped.
pub(super) struct Slot {
    address: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        let left = taken.by_address.get(&self.address).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            taken.by_address.remove(&self.address);
        } else {
            taken.by_address.insert(self.address, left);
        }
    }
}

/// What one customer has: an IPv4 address, or a whole /64 of IPv6 ones.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_when_dropped() {
        let slots = Slots::new(10, 2);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let (first, second) = (slots.take(one), slots.take(one));
        assert!(first.is_some() && second.is_some() && slots.take(one).is_none());
        assert!(slots.take("192.0.2.2".parse().unwrap()).is_some(), "others are not in the way");
        drop(first);
        assert!(slots.take(one).is_some());
        drop(second);
        assert!(slots.taken.lock().unwrap().by_address.is_empty());
    }

    #[test]
    fn all_addresses_together_have_a_limit() {
        let slots = Slots::new(1, 5);
        let _held = slots.take("192.0.2.1".parse().unwrap()).unwrap();
        assert!(slots.take("192.0.2.2".parse().unwrap()).is_none());
    }

    #[test]
    fn an_ipv6_customer_cannot_vary_the_lower_half() {
        let slots = Slots::new(10, 1);
        let _held = slots.take("2001:db8::1".parse().unwrap()).unwrap();
        assert!(slots.take("2001:db8::2".parse().unwrap()).is_none());
        assert!(slots.take("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
