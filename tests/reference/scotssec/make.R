# Attainment of Scottish pupils by primary and secondary school (mlmRev): partially crossed, 148 x 19.
source("../peers.R")
data <- case_data(
  "mlmRev", "ScotsSec",
  groups = list(primary = inside(), second = inside()), levels = list(sex = c("M", "F"))
)
save_case(data, list(
  crossed = peer(data, "attain ~ sex + (1 | primary) + (1 | second)"),
  crossed_ml = peer(data, "attain ~ verbal + sex + (1 | primary) + (1 | second)", reml = FALSE),
  slopes = peer(data, "attain ~ verbal + sex + (verbal | primary) + (1 | second)"),
  independent = peer(data, "attain ~ verbal + sex + (verbal || primary) + (verbal || second)")
))
