//! A map for the few codes of one minute: ascending pairs side by side, where a tree would be a walk through memory.

/// A map whose pairs stand in one piece, ascending by key. Finding one takes few steps, adding one moves those behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat<K, V>(Vec<(K, V)>);

impl<K, V> Default for Flat<K, V> {
    fn default() -> Flat<K, V> {
        Flat(Vec::new())
    }
}

impl<K: Ord, V: Default> Flat<K, V> {
    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is a value for this key.
    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.place(key).is_ok()
    }

    /// The value of a key, which is added where there is none.
    pub(super) fn value(&mut self, key: K) -> &mut V {
        let place = self.place(&key).unwrap_or_else(|place| {
            self.0.insert(place, (key, V::default()));
            place
        });
        &mut self.0[place].1
    }

    /// The pairs, ascending by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    fn place(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_a_tree(added in proptest::collection::vec((0..20_u8, 1..9_u64), 0..60)) {
            let (mut flat, mut tree) = (Flat::default(), BTreeMap::<u8, u64>::new());
            for (key, count) in added {
                prop_assert_eq!(flat.contains_key(&key), tree.contains_key(&key));
                *flat.value(key) += count;
                *tree.entry(key).or_default() += count;
            }
            prop_assert_eq!(flat.len(), tree.len());
            prop_assert!(flat.iter().eq(tree.iter()));
        }
    }
}
