"""Turn the text of query options into tokens and odata-query's AST.

Start with ``lexer``. Types and names are checked later, in ``expressions``.

- ``span``: split an option's text at separators outside quotes and brackets.
- ``option_names``: the system query options, and those within ``$expand``.
- ``expand_items``: split ``$expand`` into items with nested options.
- ``option_piece``: scan an option that may be a piece of one.
- ``lexer``, ``lexer_state``: split an expression into tokens.
- ``count_options``: split the options of ``$count`` in an expression.
- ``tokens``, ``literals``: the patterns of tokens, and the parsing of literals.
- ``earlier_versions``: how OData 4 writes what OData 2 and 3 write in another way.
- ``parser``: odata-query's parser, and errors that name a place in the text.
"""
