# The joint model against pan (through mitml, as in its vignette) and jomo. Run in this folder:  Rscript make.R
suppressPackageStartupMessages({library(mitml); library(jomo); library(lme4); library(jsonlite)})
data(studentratings)
kept <- c("ID", "ReadAchiev", "ReadDis", "SES")
set <- studentratings[, kept]
write.csv(set, "data.csv", row.names = FALSE, quote = FALSE)
imputed <- panImpute(set, formula = ReadDis + SES ~ ReadAchiev + (1 | ID),
  n.burn = 5000, n.iter = 100, m = 300, seed = 1234, silent = TRUE)
sets <- mitmlComplete(imputed, "all")
table_of <- function(fits) {
  found <- testEstimates(fits, extra.pars = TRUE)
  e <- found$estimates
  list(names = rownames(e), estimate = e[, 1], std_error = e[, 2], fmi = e[, 7], extra = found$extra.pars[, 1])
}
student <- table_of(lapply(sets, function(one) lmer(ReadAchiev ~ ReadDis + (1 | ID), one)))
pan_means <- list(mean_SES = mean(sapply(sets, function(one) mean(one$SES))), sd_SES = mean(sapply(sets, function(one) sd(one$SES))))

# Categories: a binary and an ordinal variable with gaps that depend on what is seen, and a continuous one. jomo
# treats the ordinal variable as nominal, so that it is complete for it and only predicts.
set.seed(77)
J <- 40; n <- 12; g <- rep(1:J, each = n)
u <- matrix(rnorm(J * 2), J) %*% chol(matrix(c(.3, .1, .1, .3), 2))
x <- rnorm(J * n)
e <- matrix(rnorm(J * n * 2), J * n) %*% chol(matrix(c(1, .5, .5, 1), 2))
y <- 1 + .5 * x + u[g, 1] + e[, 1]
z <- as.integer(-.2 + .4 * x + u[g, 2] + e[, 2] > 0)
yy <- ifelse(runif(J * n) < plogis(-1.5 + x), NA, y)
zz <- ifelse(runif(J * n) < plogis(-1.2 + x), NA, z)
mixed <- round(data.frame(g = g, x = x, y = yy, z = zz), 4)
write.csv(mixed, "mixed.csv", row.names = FALSE, quote = FALSE)
set.seed(5)
drawn <- jomo1ranmix(Y.con = data.frame(y = mixed$y), Y.cat = data.frame(z = factor(mixed$z)), Y.numcat = 2,
  X = data.frame(one = 1, x = mixed$x), clus = mixed$g, nburn = 2000, nbetween = 50, nimp = 200, output = 0)
parts <- split(drawn, drawn$Imputation)[-1]
by_lm <- lapply(parts, function(one) lm(y ~ x + I(as.integer(z) - 1), transform(one, z = factor(z))))
pooled <- testEstimates(by_lm)$estimates
expected <- list(
  source = paste("R", getRversion(), "mitml", packageVersion("mitml"), "pan", packageVersion("pan"), "jomo", packageVersion("jomo")),
  student = c(student, pan_means),
  mixed = list(estimate = pooled[, 1], std_error = pooled[, 2], fmi = pooled[, 7],
    mean_z = mean(sapply(parts, function(one) mean(as.integer(factor(one$z)) - 1)))))
write_json(expected, "expected.json", digits = 10, auto_unbox = TRUE, pretty = TRUE)
writeLines(capture.output(sessionInfo()), "session.txt")
