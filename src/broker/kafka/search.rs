//! Who of many was refused. A broker that will not have one record of a batch refuses the batch, and names the record; librdkafka passes
//! that on where several are named, and else reports all of them with one code. What is refused together is therefore believed of nobody:
//! it goes again in smaller parts, until the one at fault is alone.

/// Of what went together, this part goes together next.
const PART: usize = 4;

/// Parts of so many need no care any more.
const WIDE: usize = 1000;

/// How many records may go together.
#[derive(Debug, Default)]
pub(super) struct Search(Option<usize>);

impl Search {
    /// So many; `None` while nobody is looked for.
    pub(super) fn limit(&self) -> Option<usize> {
        self.0
    }

    /// Of so many that went together one was refused, if not more.
    pub(super) fn narrow(&mut self, together: usize) {
        self.0 = Some((together / PART).max(1));
    }

    /// Parts of this size were written. Whoever it was may not come again, and another may be near.
    pub(super) fn widen(&mut self) {
        self.0 = self.0.map(|limit| limit * 2).filter(|limit| *limit < WIDE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends in parts as the search wants them; a part with one of `bad` in it is refused. Answers who was found, and how many parts it took.
    fn sent(messages: u32, bad: impl Fn(&u32) -> bool) -> (Vec<u32>, usize) {
        let (mut search, mut waiting): (Search, Vec<u32>) = (Search::default(), (0..messages).collect());
        let (mut found, mut parts) = (Vec::new(), 0);
        while !waiting.is_empty() {
            let size = search.limit().unwrap_or(usize::MAX).min(waiting.len());
            parts += 1;
            if !waiting[..size].iter().any(&bad) {
                waiting.drain(..size);
                search.widen();
            } else if size == 1 {
                found.push(waiting.remove(0));
            } else {
                search.narrow(size);
            }
        }
        (found, parts)
    }

    #[test]
    fn one_of_thousands_is_alone_after_a_few_parts() {
        let (found, parts) = sent(10_000, |number| *number == 4321);
        assert_eq!(found, [4321]);
        assert!(parts < 60, "{parts}");
    }

    #[test]
    fn where_all_are_bad_each_is_asked_once() {
        let (found, parts) = sent(1000, |_| true);
        assert_eq!(found.len(), 1000);
        assert!(parts < 1010, "{parts}");
    }
}
