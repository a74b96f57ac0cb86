# The single methods of mice, one incomplete variable or two at a time: 2l.norm, norm, pmm, 2lonly.norm, 2lonly.pmm.
# Data: geepack::dietox and datasets::airquality (its own gaps), and radon of HLMdiag as python ../make_data.py HLMdiag
# radon full.csv writes it, with gaps made at random given other variables.
# Run in this folder: Rscript make.R; takes some minutes.
suppressMessages({library(mice); library(lme4); library(jsonlite)})
options(warn = -1)

pooled <- function(fits) {
  grouped <- inherits(fits[[1]], "merMod")
  Q <- sapply(fits, if (grouped) fixef else coef); U <- sapply(fits, function(f) diag(as.matrix(vcov(f))))
  m <- ncol(Q); B <- apply(Q, 1, var); sigma <- sapply(fits, sigma)
  found <- list(m = m, terms = rownames(Q), estimate = rowMeans(Q), within = rowMeans(U), between = B,
                std_error = sqrt(rowMeans(U) + (1 + 1/m) * B), sigma = mean(sigma), sigma_between = var(sigma))
  if (!grouped) return(found)
  tau <- sapply(fits, function(f) sqrt(VarCorr(f)[[1]][1, 1]))
  c(found, list(tau = mean(tau), tau_between = var(tau)))
}
run <- function(d, method, used, analyse, m = 100, maxit = 1, seed = 1) {
  ini <- mice(d, maxit = 0)
  pred <- ini$predictorMatrix; pred[,] <- 0
  for (v in names(used)) pred[v, names(used[[v]])] <- used[[v]]
  meth <- ini$method; meth[] <- ""; meth[names(method)] <- method
  imp <- mice(d, method = meth, predictorMatrix = pred, m = m, maxit = maxit, seed = seed, printFlag = FALSE)
  pooled(lapply(complete(imp, "all"), function(k) suppressMessages(analyse(k))))
}
out <- list()

# --- pigs weighed every week: weights lack the more the lighter the pig was at the start and the later the week.
# 2l.norm: intercepts, slopes and residual variances differ between pigs. Its 100 Gibbs steps are too few here
# (residual SD 2.59, and 2.55 after 1,000), so that it is given 400
mice.impute.2l.norm.long <- mice.impute.2l.norm
steps <- which(sapply(as.list(body(mice.impute.2l.norm)), function(e) identical(e, quote(n.iter <- 100))))
body(mice.impute.2l.norm.long)[[steps]] <- quote(n.iter <- 400)
data(dietox, package = "geepack")
whole <- names(which(table(dietox$Pig) == 12))
pigs <- subset(dietox, Pig %in% whole, c(Pig, Time, Start, Weight))
pigs$Pig <- as.integer(droplevels(factor(pigs$Pig)))
pigs$Time <- (pigs$Time - 6.5) / 6
pigs$Start <- (pigs$Start - 25) / 5
set.seed(5)
pigs$Weight[runif(nrow(pigs)) < plogis(-1 + 0.8 * pigs$Time - 0.6 * pigs$Start)] <- NA
write.csv(pigs, "pigs.csv", row.names = FALSE, na = "")
growth <- function(k) lmer(Weight ~ Time + (Time | Pig), k)
out$pigs_2l_norm <- run(pigs, c(Weight = "2l.norm.long"), list(Weight = c(Pig = -2, Time = 2)), growth, m = 40)

# --- air quality: no groups, two variables with gaps
air <- airquality[c("Ozone", "Solar.R", "Wind", "Temp")]
names(air)[2] <- "Solar"
write.csv(air, "air.csv", row.names = FALSE, na = "")
for (how in c("norm", "pmm"))
  out[[paste0("air_", how)]] <- run(air, c(Ozone = how, Solar = how),
    list(Ozone = c(Solar = 1, Wind = 1, Temp = 1), Solar = c(Ozone = 1, Wind = 1, Temp = 1)),
    function(k) lm(Ozone ~ Solar + Wind + Temp, k), m = 400, maxit = 10)
out$air_complete <- list(estimate = coef(lm(Ozone ~ Solar + Wind + Temp, air)))

# --- radon: the uranium of counties lacks the more the higher their mean
radon <- read.csv("full.csv")[c("log.radon", "basement", "uranium", "county")]
level <- ave(radon$log.radon, radon$county)
set.seed(8)
counties <- unique(radon$county)
chance <- plogis(-0.9 + 1.5 * (level[match(counties, radon$county)] - 1.3))
gone <- counties[runif(length(counties)) < chance]
radon$uranium[radon$county %in% gone] <- NA
write.csv(radon, "radon.csv", row.names = FALSE, na = "")
home <- function(k) lmer(log.radon ~ basement + uranium + (1 | county), k)
for (how in c("norm", "pmm"))
  out[[paste0("radon_2lonly_", how)]] <- run(radon, c(uranium = paste0("2lonly.", how)),
    list(uranium = c(county = -2, log.radon = 1, basement = 1)), home, m = 200)
out$radon_complete <- list(estimate = fixef(home(radon)))

write_json(out, "expected.json", digits = 10, auto_unbox = TRUE, pretty = TRUE)
writeLines(capture.output(sessionInfo()), "session.txt")
