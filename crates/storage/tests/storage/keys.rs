//! Keys at rest.

use switchboard_domain::{DataKeyId, KeyEncryptionKeyId};
use switchboard_storage::{DataKey, KeyEncryptionKey, KeyState, Sealed, StorageError};
use switchboard_testkit::on_both;

use crate::at;

on_both! {
    async fn a_key_in_use_can_not_be_dropped(database) {
        let org = database.organization("acme").await.id;
        let kek = |number: u128| KeyEncryptionKey {
            id: KeyEncryptionKeyId::from_uuid(uuid::Uuid::from_u128(number)),
            sentinel: Sealed(vec![7; 64]),
            state: KeyState::Active,
            created_at: at(number as i64),
        };
        let key = DataKey {
            id: DataKeyId::new(&database.clock, &database.random),
            organization: org,
            key_encryption_key: kek(1).id,
            wrapped: Sealed(vec![1]),
            state: KeyState::Active,
            created_at: at(0),
        };
        let mut tx = database.db.write().await.unwrap();
        assert!(tx.keys().insert_key_encryption_key(&kek(1)).await.unwrap());
        assert!(!tx.keys().insert_key_encryption_key(&kek(1)).await.unwrap(), "known");
        assert!(tx.keys().insert_key_encryption_key(&kek(2)).await.unwrap());
        assert!(tx.keys().insert_data_key(&key).await.unwrap());
        tx.commit().await.unwrap();

        let mut tx = database.db.write().await.unwrap();
        let refused = tx.keys().delete_key_encryption_key(kek(1).id).await;
        assert!(matches!(refused, Err(StorageError::Reference)), "{refused:?}");
        drop(tx);

        let mut tx = database.db.write().await.unwrap();
        assert_eq!(tx.keys().not_wrapped_with(kek(2).id, 10).await.unwrap(), std::slice::from_ref(&key));
        assert!(tx.keys().rewrap(&key, kek(2).id, &Sealed(vec![2])).await.unwrap());
        assert!(!tx.keys().rewrap(&key, kek(2).id, &Sealed(vec![3])).await.unwrap(), "another replica was first");
        assert!(tx.keys().not_wrapped_with(kek(2).id, 10).await.unwrap().is_empty());
        assert!(tx.keys().set_key_encryption_key_state(kek(1).id, KeyState::Retired).await.unwrap());
        assert!(tx.keys().delete_key_encryption_key(kek(1).id).await.unwrap());
        assert_eq!(tx.keys().key_encryption_keys().await.unwrap(), [kek(2)]);
        assert_eq!(tx.keys().data_keys(org).await.unwrap()[0].wrapped, Sealed(vec![2]));
        tx.commit().await.unwrap();
    }
}
