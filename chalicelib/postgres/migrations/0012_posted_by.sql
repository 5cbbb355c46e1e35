-- Who posted a record: the subject and the role of the token. Null for records of earlier releases.
ALTER TABLE point_record ADD COLUMN posted_by text, ADD COLUMN posted_as text;
