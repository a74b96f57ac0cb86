# Growth in mathematics of 1,721 children in 60 schools (mlmRev): three levels, slopes at two of them.
source("../peers.R")
data <- case_data("mlmRev", "egsingle", groups = list(schoolid = inside(), childid = inside("schoolid")))
save_case(data, list(
  intercepts = peer(data, "math ~ year + (1 | schoolid/childid)"),
  slopes = peer(data, "math ~ year + (year | schoolid/childid)"),
  slopes_ml = peer(data, "math ~ year * lowinc + (year | schoolid/childid)", reml = FALSE),
  child_slopes = peer(data, "math ~ year + lowinc + (1 | schoolid) + (year | childid)"),
  independent = peer(data, "math ~ year + (year || schoolid/childid)")
))
