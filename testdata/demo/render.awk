# The first line is the title; the lines after the blank one are paragraphs.
NR == 1 { print "<h1>" $0 "</h1>"; next }
NF { print "<p>" $0 "</p>" }
