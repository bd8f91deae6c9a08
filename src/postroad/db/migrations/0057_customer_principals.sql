-- Customers, managers and their mailboxes are principals: their credentials go with them (0030_identities.sql). A manager
-- is a customer of another kind, with an id of the same table.

CREATE TRIGGER customer_principal_removed AFTER DELETE ON customer REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION principal_removed('customer');
CREATE TRIGGER manager_principal_removed AFTER DELETE ON customer REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION principal_removed('manager');
CREATE TRIGGER sender_mailbox_principal_removed AFTER DELETE ON sender_mailbox REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION principal_removed('customer-mailbox');
