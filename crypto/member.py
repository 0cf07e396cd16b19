"""The banks' door to this package: everything that holds a key. The server and its workers never import it."""

from crypto.answer_record import AnswerRecord, Answers
from crypto.ceremony import Ceremony
from crypto.committee_key import CommitteeKey, CommitteeKeyBuilder
from crypto.dealing import Dealt, deal
from crypto.decryption_share import Decryptor
from crypto.encryption import Encryptor
from crypto.identity import Identity, verify
from crypto.keys import SecretKey
from crypto.keystore import Keystore
from crypto.sealing import SealingKey, seal

__all__ = [
    "AnswerRecord",
    "Answers",
    "Ceremony",
    "CommitteeKey",
    "CommitteeKeyBuilder",
    "Dealt",
    "Decryptor",
    "Encryptor",
    "Identity",
    "Keystore",
    "SealingKey",
    "SecretKey",
    "deal",
    "seal",
    "verify",
]
