//! Which slot of a cluster a key belongs to. The crate computes it, too, but keeps the number to itself.

/// <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model>
pub(super) const SLOTS: usize = 16_384;

/// CRC16 of the key, or of what stands in its first non-empty pair of braces, modulo the number of slots.
pub(super) fn slot(key: &[u8]) -> usize {
    let crc = tag(key).iter().fold(0_u16, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]);
    usize::from(crc) % SLOTS
}

fn tag(key: &[u8]) -> &[u8] {
    let inside = || {
        let open = memchr::memchr(b'{', key)? + 1;
        let length = memchr::memchr(b'}', &key[open..])?;
        (length > 0).then(|| &key[open..open + length])
    };
    inside().unwrap_or(key)
}

/// CRC16-XMODEM: polynomial 0x1021, start 0, nothing reflected.
static TABLE: [u16; 256] = {
    let mut table = [0_u16; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::slot;

    #[test]
    fn slots_are_those_of_the_specification() {
        // 0x31C3 is the check value that the cluster specification gives for "123456789".
        assert_eq!(slot(b"123456789"), 0x31C3);
        assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
        assert_eq!(slot(b"foo{}{bar}"), slot(b"foo{}{bar}"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"), "an empty first pair of braces is no tag");
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
    }
}
