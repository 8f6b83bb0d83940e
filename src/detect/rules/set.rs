//! Some of the rules, in their order.

/// A set of rules by their places in the list; sets of one list can be taken together word by word.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleSet(Vec<u64>);

impl RuleSet {
    /// Of all the rules, in their order, those that are wanted.
    pub(super) fn of(wanted: impl ExactSizeIterator<Item = bool>) -> RuleSet {
        let mut set = RuleSet(vec![0; wanted.len().div_ceil(u64::BITS as usize)]);
        for (rule, _) in wanted.enumerate().filter(|(_, wanted)| *wanted) {
            set.insert(rule);
        }
        set
    }

    /// Becomes the same as another set.
    pub(super) fn copy(&mut self, other: &RuleSet) {
        self.0.clone_from(&other.0);
    }

    /// Becomes empty.
    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Adds a rule of the list that the set was made for.
    pub(super) fn insert(&mut self, rule: usize) {
        self.0[rule / u64::BITS as usize] |= 1 << (rule % u64::BITS as usize);
    }

    /// Whether none of the rules is in both.
    pub(super) fn is_disjoint(&self, other: &RuleSet) -> bool {
        self.0.iter().zip(&other.0).all(|(some, others)| some & others == 0)
    }

    /// The rules that are in each of the sets, ascending.
    pub(super) fn common<const N: usize>(sets: [&RuleSet; N]) -> impl Iterator<Item = usize> {
        let words = sets[0].0.len();
        (0..words).flat_map(move |word| {
            let mut bits = sets.iter().fold(u64::MAX, |bits, set| bits & set.0[word]);
            std::iter::from_fn(move || {
                let first = bits.trailing_zeros() as usize;
                bits &= bits.checked_sub(1)?;
                Some(word * u64::BITS as usize + first)
            })
        })
    }
}
