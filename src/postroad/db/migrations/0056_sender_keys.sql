-- The key that a customer's domain signs with, published under the selector `umail` (7.3 of the bulk-mail document).

ALTER TABLE sender_domain ADD COLUMN dkim_key bytea;           -- PKCS #8 PEM, RSA; NULL: a domain of the platform
