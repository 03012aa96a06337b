//! Derivation of Ed25519 keys from a seed, by SLIP-0010. Ed25519 has hardened children only.
//!
//! Source: <https://github.com/satoshilabs/slips/blob/master/slip-0010.md>; its test vectors are the tests
//! below.

use hmac::{Hmac, KeyInit as _, Mac as _};
use ledger::values::SecretKey;
use sha2::Sha512;
use zeroize::Zeroizing;

/// Marks a hardened child.
const HARDENED: u32 = 1 << 31;

/// A key with the chain code that its children need. Zeroed when dropped.
#[derive(Clone)]
pub struct ExtendedKey {
    key: Zeroizing<[u8; 32]>,
    chain_code: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for ExtendedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExtendedKey(…)")
    }
}

impl ExtendedKey {
    /// The root of a seed's tree.
    #[must_use]
    pub fn master(seed: &[u8]) -> Self {
        Self::from_hmac(b"ed25519 seed", &[seed])
    }

    /// The hardened child `index`; the hardening bit is added here, so `index` counts from 0.
    #[must_use]
    pub fn child(&self, index: u32) -> Self {
        let index = (index | HARDENED).to_be_bytes();
        Self::from_hmac(self.chain_code.as_ref(), &[&[0], self.key.as_ref(), &index])
    }

    /// The descendant along `path`, all hardened.
    #[must_use]
    pub fn descendant(&self, path: &[u32]) -> Self {
        path.iter().fold(self.clone(), |key, index| key.child(*index))
    }

    /// The secret key.
    #[must_use]
    pub fn secret_key(&self) -> SecretKey {
        SecretKey::from_seed(*self.key)
    }

    fn from_hmac(hmac_key: &[u8], parts: &[&[u8]]) -> Self {
        let (mut key, mut chain_code) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        // HMAC takes keys of any length, so the error has no case.
        if let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(hmac_key) {
            for part in parts {
                mac.update(part);
            }
            let mut output = mac.finalize().into_bytes();
            let (left, right) = output.split_at(32);
            key.copy_from_slice(left);
            chain_code.copy_from_slice(right);
            zeroize::Zeroize::zeroize(output.as_mut_slice());
        }
        Self { key, chain_code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Path, chain code, private key, public key.
    type Vector = (&'static [u32], &'static str, &'static str, &'static str);

    fn check(seed: &str, vectors: &[Vector]) {
        let master = ExtendedKey::master(&const_hex::decode(seed).unwrap());
        for (path, chain_code, private, public) in vectors {
            let key = master.descendant(path);
            assert_eq!(const_hex::encode(*key.chain_code), *chain_code, "{path:?}");
            assert_eq!(const_hex::encode(*key.key), *private, "{path:?}");
            assert_eq!(key.secret_key().public_key().to_string(), *public, "{path:?}");
        }
    }

    #[test]
    fn published_vector_1() {
        check(
            "000102030405060708090a0b0c0d0e0f",
            &[
                (
                    &[],
                    "90046a93de5380a72b5e45010748567d5ea02bbf6522f979e05c0d8d8ca9fffb",
                    "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7",
                    "a4b2856bfec510abab89753fac1ac0e1112364e7d250545963f135f2a33188ed",
                ),
                (
                    &[0],
                    "8b59aa11380b624e81507a27fedda59fea6d0b779a778918a2fd3590e16e9c69",
                    "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3",
                    "8c8a13df77a28f3445213a0f432fde644acaa215fc72dcdf300d5efaa85d350c",
                ),
                (
                    &[0, 1],
                    "a320425f77d1b5c2505a6b1b27382b37368ee640e3557c315416801243552f14",
                    "b1d0bad404bf35da785a64ca1ac54b2617211d2777696fbffaf208f746ae84f2",
                    "1932a5270f335bed617d5b935c80aedb1a35bd9fc1e31acafd5372c30f5c1187",
                ),
                (
                    &[0, 1, 2],
                    "2e69929e00b5ab250f49c3fb1c12f252de4fed2c1db88387094a0f8c4c9ccd6c",
                    "92a5b23c0b8a99e37d07df3fb9966917f5d06e02ddbd909c7e184371463e9fc9",
                    "ae98736566d30ed0e9d2f4486a64bc95740d89c7db33f52121f8ea8f76ff0fc1",
                ),
                (
                    &[0, 1, 2, 2],
                    "8f6d87f93d750e0efccda017d662a1b31a266e4a6f5993b15f5c1f07f74dd5cc",
                    "30d1dc7e5fc04c31219ab25a27ae00b50f6fd66622f6e9c913253d6511d1e662",
                    "8abae2d66361c879b900d204ad2cc4984fa2aa344dd7ddc46007329ac76c429c",
                ),
                (
                    &[0, 1, 2, 2, 1_000_000_000],
                    "68789923a0cac2cd5a29172a475fe9e0fb14cd6adb5ad98a3fa70333e7afa230",
                    "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793",
                    "3c24da049451555d51a7014a37337aa4e12d41e485abccfa46b47dfb2af54b7a",
                ),
            ],
        );
    }

    #[test]
    fn published_vector_2() {
        let seed = "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a2\
                    9f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542";
        check(
            seed,
            &[
                (
                    &[],
                    "ef70a74db9c3a5af931b5fe73ed8e1a53464133654fd55e7a66f8570b8e33c3b",
                    "171cb88b1b3c1db25add599712e36245d75bc65a1a5c9e18d76f9f2b1eab4012",
                    "8fe9693f8fa62a4305a140b9764c5ee01e455963744fe18204b4fb948249308a",
                ),
                (
                    &[0],
                    "0b78a3226f915c082bf118f83618a618ab6dec793752624cbeb622acb562862d",
                    "1559eb2bbec5790b0c65d8693e4d0875b1747f4970ae8b650486ed7470845635",
                    "86fab68dcb57aa196c77c5f264f215a112c22a912c10d123b0d03c3c28ef1037",
                ),
                (
                    &[0, 2_147_483_647],
                    "138f0b2551bcafeca6ff2aa88ba8ed0ed8de070841f0c4ef0165df8181eaad7f",
                    "ea4f5bfe8694d8bb74b7b59404632fd5968b774ed545e810de9c32a4fb4192f4",
                    "5ba3b9ac6e90e83effcd25ac4e58a1365a9e35a3d3ae5eb07b9e4d90bcf7506d",
                ),
                (
                    &[0, 2_147_483_647, 1],
                    "73bd9fff1cfbde33a1b846c27085f711c0fe2d66fd32e139d3ebc28e5a4a6b90",
                    "3757c7577170179c7868353ada796c839135b3d30554bbb74a4b1e4a5a58505c",
                    "2e66aa57069c86cc18249aecf5cb5a9cebbfd6fadeab056254763874a9352b45",
                ),
            ],
        );
    }

    #[test]
    fn nothing_is_shown() {
        assert_eq!(format!("{:?}", ExtendedKey::master(b"seed")), "ExtendedKey(…)");
    }
}
